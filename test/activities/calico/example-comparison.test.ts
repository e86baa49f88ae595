// The demo's own comparison is what says in the end that nothing is lost: it has to agree with a whole move, and to see every kind of loss.
import { pathToFileURL } from 'node:url';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import { BenchCluster } from '../../../bench/calico-cluster';
import { compareDatastores } from '../../../examples/calico-demo/compare';
import { Cluster } from '../../../examples/calico/cluster';
import { startStack, type Stack } from '../../../local/stack';

const group = '/apis/crd.projectcalico.org/v1';
const merge = 'application/merge-patch+json';

let folder: string;
let stack: Stack;
let cluster: Cluster;
let etcd: Etcd3;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cutover-comparison-'));
  stack = await startStack({ temporal: false, postgres: false, calico: true });
  const { calicoEtcd, kubernetes } = stack;
  if (!calicoEtcd || !kubernetes) throw new Error('the stack is not complete');
  const artifacts = pathToFileURL(folder).href;
  const kubeconfig = kubernetes.kubeconfig();
  const moved = new BenchCluster({ endpoint: calicoEtcd.endpoint, kubeconfig, artifacts, writers: 8 });
  await moved.seed({ handles: 120, policies: 20 });
  await moved.lockedWindow();
  moved.close();
  cluster = new Cluster(kubeconfig);
  etcd = new Etcd3({ hosts: calicoEtcd.endpoint });
}, 900_000);
afterAll(async () => {
  etcd.close();
  cluster.close();
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
});

it('finds every object and every node of a whole move', async () => {
  const { problems, equal } = await compareDatastores(etcd, cluster);
  expect(problems).toEqual([]);
  expect(equal.get('ipamhandles')).toBe(120);
  expect(equal.get('nodes')).toBe(5);
});

it('sees what is missing, what is too much, what is off by one in 64 bits, and what a node has lost', async () => {
  const [block] = (await cluster.list(`${group}/ipamblocks`)) ?? [];
  const { name } = block!.metadata as { name: string };
  const { sequenceNumber } = block!.spec as { sequenceNumber: bigint };
  await cluster.change(
    'PATCH',
    `${group}/ipamblocks/${name}`,
    { spec: { sequenceNumber: sequenceNumber + 1n } },
    merge,
  );
  await cluster.change('DELETE', `${group}/tiers/platform`);
  const tier = { apiVersion: 'crd.projectcalico.org/v1', kind: 'Tier', metadata: { name: 'invented' }, spec: {} };
  await cluster.change('POST', `${group}/tiers`, tier);
  const annotations = { 'projectcalico.org/IPv4VXLANTunnelAddr': null };
  await cluster.change('PATCH', '/api/v1/nodes/worker-2', { metadata: { annotations } }, merge);

  const { problems } = await compareDatastores(etcd, cluster);
  expect(problems.map((line) => line.split(':')[0]).sort()).toEqual([
    `ipamblocks ${name}`,
    'node worker-2',
    'tiers invented',
    'tiers platform',
  ]);
});
