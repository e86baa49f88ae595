// The example of a Calico cluster on real servers: what demo, benchmark and tests build upon.
import { Etcd3 } from 'etcd3';
import { calicoCrds } from '../../examples/calico/crds';
import { Cluster } from '../../examples/calico/cluster';
import { startRolloutStandIn } from '../../examples/calico/rollout-stand-in';
import { mendSampleDatastore, writeSampleDatastore } from '../../examples/calico/sample-datastore';
import { seedCluster } from '../../examples/calico/seed-cluster';
import { isObject } from '../../activities/calico/json';
import { startEtcd, type EtcdServer } from '../../local/etcd-server';
import { startKubernetes, type KubernetesServer } from '../../local/kube-apiserver';
import { until } from '../fixtures/until';

let etcdServer: EtcdServer;
let kubernetes: KubernetesServer;
let cluster: Cluster;
let etcd: Etcd3;

beforeAll(async () => {
  [etcdServer, kubernetes] = await Promise.all([startEtcd(), startKubernetes()]);
  cluster = new Cluster(kubernetes.kubeconfig());
  etcd = new Etcd3({ hosts: etcdServer.endpoint });
}, 900_000);
afterAll(async () => {
  etcd.close();
  cluster.close();
  await Promise.all([etcdServer.stop(), kubernetes.stop()]);
});

it('a spoilt datastore is one of its own once it is mended', async () => {
  const whole = await writeSampleDatastore(etcd, { handles: 50, policies: 10, spoilt: ['user-profile', 'no-utf8'] });
  const mended = await mendSampleDatastore(etcd, ['user-profile', 'no-utf8']);
  const left = await etcd.getAll().prefix('/calico/').keys();
  expect(left).toEqual(whole.entries.map(({ key }) => key).filter((key) => !mended.includes(key)));
});

it('the cluster has the nodes and the namespaces of the datastore, and can be seeded twice', async () => {
  const sample = await writeSampleDatastore(etcd, { handles: 50 });
  await seedCluster(cluster, sample);
  await seedCluster(cluster, sample);
  const nodes = (await cluster.list('/api/v1/nodes')) ?? [];
  expect(nodes).toHaveLength(sample.nodes.length);
});

it('the apiserver takes all definitions, and drops what a closed one does not name', async () => {
  for (const definition of calicoCrds())
    await cluster.change('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition);
  const path = '/apis/crd.projectcalico.org/v1/ipamblocks';
  await until('the kind is served', async () => (await cluster.list(path)) !== undefined);
  const spec = {
    cidr: '10.0.0.0/26',
    allocations: [0, null],
    attributes: [],
    unallocated: [1],
    strictAffinity: false,
    sequenceNumber: 1795244676171828089n,
  };
  const body = { apiVersion: 'crd.projectcalico.org/v1', kind: 'IPAMBlock', metadata: { name: '10-0-0-0-26' } };
  await cluster.change('POST', path, { ...body, spec: { ...spec, unheardOf: true } });
  expect((await cluster.get(`${path}/10-0-0-0-26`))?.spec).toEqual(spec);
  const without = await cluster.ask('POST', path, { ...body, spec: { ...spec, unallocated: null } });
  expect(without.status).toBe(422);
});

it('the stand-in rolls out what has changed, and nothing while it is stalled', async () => {
  const standIn = startRolloutStandIn(cluster, { nodes: 5, stepMs: 20 });
  const path = '/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node';
  const status = async () => {
    const { metadata, status: found } = (await cluster.get(path)) ?? {};
    if (!isObject(metadata) || !isObject(found)) throw new Error('no DaemonSet');
    return { done: found.updatedNumberScheduled === 5 && found.observedGeneration === metadata.generation };
  };
  try {
    await until('it is rolled out', async () => (await status()).done);
    standIn.stall();
    const template = { metadata: { annotations: { changed: 'yes' } } };
    await cluster.change('PATCH', path, { spec: { template } }, 'application/merge-patch+json');
    expect((await status()).done).toBe(false);
    standIn.resume();
    await until('it is rolled out', async () => (await status()).done);
  } finally {
    await standIn.stop();
  }
});
