// A kube-apiserver that takes one write at a time and answers "429, come back in a second" to all others, as one does that is in trouble.
import { createKubernetesDataActivities, KubernetesConnections } from '../../../activities/calico/kubernetes';
import { collectionPath } from '../../../activities/calico/kubernetes/paths';
import { desiredState } from '../../../activities/calico/model/desired';
import { readExportFile } from '../../../activities/calico/model/export-file';
import { Cluster } from '../../../examples/calico/cluster';
import { KubeRig, prefixed } from '../../fixtures/kube-rig';
import { sampleExport } from '../../fixtures/kube-sample';

let rig: KubeRig;
let elsewhere: Cluster;

beforeAll(async () => {
  const extraArguments = ['--enable-priority-and-fairness=false', '--max-mutating-requests-inflight=1'];
  rig = await KubeRig.start({ extraArguments, tokens: [{ name: 'mover' }] });
  elsewhere = new Cluster(rig.server.kubeconfig());
  await rig.installCrds();
  // Who belongs to system:masters is never sent away.
  await rig.api.create('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: 'mover' },
    subjects: [{ kind: 'User', name: 'mover', apiGroup: 'rbac.authorization.k8s.io' }],
    roleRef: { kind: 'ClusterRole', name: 'cluster-admin', apiGroup: 'rbac.authorization.k8s.io' },
  });
});

afterAll(async () => {
  elsewhere.close();
  await rig.stop();
});

test('an apiserver that asks for less gets less, and everything arrives all the same', async () => {
  const sample = sampleExport({ handles: 200 });
  for (const namespace of sample.namespaces) await rig.createNamespace(namespace);
  const { inventory } = await rig.activities.inspectKubernetes({ scope: rig.scope });
  const file = await rig.put('export.yaml', sample.file);
  const kubernetes = new KubernetesConnections({ CLUSTER: rig.server.kubeconfig('mover') });
  const activities = createKubernetesDataActivities({ kubernetes, artifacts: rig.artifacts });
  const result = await activities.importCalico({
    scope: { ...rig.scope, target: { kubeconfig: { env: 'CLUSTER' } } },
    file,
    inventory,
    encoding: prefixed,
    existing: 'stop',
    writers: 32,
    maxWritesPerSecond: 0,
  });
  const { objects } = desiredState(readExportFile(sample.file), prefixed);
  expect(result.kinds.reduce((sum, { created }) => sum + created, 0)).toBe(objects.length);
  expect(await elsewhere.list(collectionPath('ipamhandles'))).toHaveLength(200);
  expect(result.throttled).toBeGreaterThan(0);
  // Writers that only came back after a second, all of them together, would have been sent away again and again.
  expect(result.throttled).toBeLessThan(objects.length / 2);
});
