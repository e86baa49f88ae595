// The switch on a real apiserver: what the old manifest set and the new one does not is gone, and the way back leaves what was there.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isObject, printJson, type JsonObject } from '../../../activities/calico/json';
import { KubernetesConnections } from '../../../activities/calico/kubernetes/connection';
import { createSwitchActivities } from '../../../activities/calico/switch';
import { contentOf } from '../../../activities/calico/switch/content';
import { containersOf } from '../../../activities/calico/switch/workload';
import { exampleManifests } from '../../../examples/calico/manifests';
import { grantWorkerRights, workerAccount } from '../../../examples/calico/seed-cluster';
import { configMaps, daemonSets, deployments, SwitchRig } from '../../fixtures/switch-rig';

let rig: SwitchRig;

beforeAll(async () => {
  rig = await SwitchRig.start(undefined, { tokens: [workerAccount] });
  await grantWorkerRights(rig.cluster);
});
afterAll(() => rig.stop());

const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const merge = 'application/merge-patch+json';

const managers = (live: JsonObject): unknown[] => {
  const { managedFields } = isObject(live.metadata) ? live.metadata : {};
  return (Array.isArray(managedFields) ? managedFields : []).filter(isObject).map(({ manager }) => manager);
};

describe('reading the manifests', () => {
  it('fixes both files as artifacts and tells what they hold', async () => {
    const { kubernetes, etcd } = await rig.manifests();
    expect(kubernetes).toMatchObject({
      calicoVersion: 'v3.30.3',
      workloads: ['DaemonSet kube-system/calico-node', 'Deployment kube-system/calico-kube-controllers'],
      images: expect.arrayContaining(['docker.io/calico/node:v3.30.3']) as unknown,
    });
    expect(kubernetes.crds).toHaveLength(22);
    expect(etcd.crds).toHaveLength(0);
    expect(etcd.objects).toBeGreaterThan(5);
  });

  it('is not moved by a file that changes afterwards', async () => {
    const path = await rig.file('own.yaml', 'kubernetes', (text) => text);
    const { kubernetes } = await rig.manifests({ kubernetes: path });
    await writeFile(path, 'something else');
    expect(await rig.artifacts.read(kubernetes.artifact)).toContain('DATASTORE_TYPE');
    await rm(path);
  });

  it('refuses swapped files', async () => {
    const { kubernetes, etcd } = exampleManifests;
    await expect(rig.manifests({ kubernetes: etcd, etcd: kubernetes })).rejects.toThrow(
      /says etcd, not DATASTORE_TYPE.*swapped/,
    );
    await expect(rig.manifests({ etcd: kubernetes })).rejects.toThrow(/says kubernetes, not ETCD_ENDPOINTS.*swapped/);
  });

  it('refuses components that would use different datastores', async () => {
    const mixed = await rig.file('mixed.yaml', 'kubernetes', (text) =>
      text.replace(
        /(name: ENABLED_CONTROLLERS)/,
        'name: ETCD_ENDPOINTS\n              value: http://10.0.0.1:2379\n            - $1',
      ),
    );
    await expect(rig.manifests({ kubernetes: mixed })).rejects.toThrow(
      /calico-kube-controllers.*still has ETCD_ENDPOINTS/,
    );
    const plugin = await rig.file('cni.yaml', 'kubernetes', (text) =>
      text.replace('"datastore_type": "kubernetes"', '"etcd_endpoints": "x"'),
    );
    await expect(rig.manifests({ kubernetes: plugin })).rejects.toThrow(
      /cni_network_config of ConfigMap.*CNI plugin to use etcd/,
    );
  });

  it('refuses an operator, data of Calico, placeholders and files that are no manifest', async () => {
    const plus = (name: string, object: string) => rig.file(name, 'kubernetes', (text) => `${object}\n---\n${text}`);
    const installation = await plus(
      'op.yaml',
      'apiVersion: operator.tigera.io/v1\nkind: Installation\nmetadata: {name: default}',
    );
    await expect(rig.manifests({ kubernetes: installation })).rejects.toThrow(/Tigera operator.*apply-manifest/);
    const pool = await plus('pool.yaml', 'apiVersion: crd.projectcalico.org/v1\nkind: IPPool\nmetadata: {name: p}');
    await expect(rig.manifests({ kubernetes: pool })).rejects.toThrow(/IPPool p/);
    const placeholder = await rig.file('ph.yaml', 'etcd', (text) =>
      text.replace('https://10.0.0.1:2379', 'http://<ETCD_IP>:<ETCD_PORT>'),
    );
    await expect(rig.manifests({ etcd: placeholder })).rejects.toThrow(/placeholder <ETCD_IP>/);
    const broken = await rig.file('broken.yaml', 'etcd', (text) => `${text}\n---\n{ [`);
    await expect(rig.manifests({ etcd: broken })).rejects.toThrow(/document \d+, line \d+/);
    await expect(rig.manifests({ etcd: join(rig.folder, 'none.yaml') })).rejects.toThrow(
      /none\.yaml cannot be read.*ENOENT/,
    );
  });
});

describe('the switch', () => {
  const former: Record<string, JsonObject> = {};
  let state: Awaited<ReturnType<SwitchRig['activities']['recordManifestState']>>;
  let pair: Awaited<ReturnType<SwitchRig['manifests']>>;

  beforeAll(async () => {
    pair = await rig.manifests();
    for (const path of paths) former[path] = await rig.must(path);
    state = await rig.activities.recordManifestState({
      scope: rig.scope,
      manifests: [pair.kubernetes.artifact, pair.etcd.artifact],
    });
  });

  const paths = [
    `${daemonSets}/calico-node`,
    `${deployments}/calico-kube-controllers`,
    `${configMaps}/calico-config`,
    '/apis/rbac.authorization.k8s.io/v1/clusterroles/calico-node',
  ];
  const apply = () =>
    rig.activities.applyManifest({ scope: rig.scope, manifest: pair.kubernetes.artifact, former: state.former });
  const undo = () =>
    rig.activities.undoManifest({
      scope: rig.scope,
      manifest: pair.kubernetes.artifact,
      etcd: pair.etcd.artifact,
      former: state.former,
    });

  it('records what is there, and what is not', () => {
    expect(state.existing).toBe(pair.etcd.objects);
    expect(state.absent).toBeGreaterThanOrEqual(22);
  });

  it('removes settings that client-side apply wrote and the new manifest does not have', async () => {
    const before = containersOf(former[`${daemonSets}/calico-node`]!);
    expect(before.some(({ env }) => env.has('ETCD_ENDPOINTS'))).toBe(true);
    const applied = await apply();
    expect(applied.applied).toBe(pair.kubernetes.objects);
    expect(applied.created).toContain('CustomResourceDefinition ippools.crd.projectcalico.org');

    for (const path of [`${daemonSets}/calico-node`, `${deployments}/calico-kube-controllers`]) {
      const live = await rig.must(path);
      for (const { env } of containersOf(live))
        expect([...env.keys()].filter((name) => name.startsWith('ETCD_'))).toEqual([]);
      expect(printJson(live.spec!)).not.toContain('etcd-certs');
      expect(managers(live)).toEqual(['cutover']);
    }
    const { data } = await rig.must(`${configMaps}/calico-config`);
    expect(data).toHaveProperty('cni_network_config', expect.stringContaining('"datastore_type": "kubernetes"'));
    expect(Object.keys(isObject(data) ? data : {}).filter((name) => name.startsWith('etcd_'))).toEqual([]);
  });

  it('keeps the annotation true by which a later kubectl apply goes', async () => {
    const { metadata } = await rig.must(`${configMaps}/calico-config`);
    const annotations = isObject(metadata) && isObject(metadata.annotations) ? metadata.annotations : {};
    const text = annotations['kubectl.kubernetes.io/last-applied-configuration'];
    expect(text).toEqual(expect.stringContaining('datastore_type'));
    expect(text).not.toEqual(expect.stringContaining('etcd_endpoints'));
  });

  it('changes nothing when it is done again, and tells the same', async () => {
    const versions = async () => Promise.all(paths.map(async (path) => (await rig.must(path)).metadata));
    const before = await versions();
    const again = await apply();
    expect(again.changed).toBe(0);
    expect(again.created).toContain('CustomResourceDefinition ippools.crd.projectcalico.org');
    expect(await versions()).toEqual(before);
  });

  it('waits for CRDs and knows kinds that the same manifest brings', async () => {
    const manifest = await rig.manifest(
      [
        'apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: one, namespace: fresh}\nspec: {a: 1}',
        'apiVersion: v1\nkind: Namespace\nmetadata: {name: fresh}',
        'apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\nspec:\n  group: example.com\n  scope: Namespaced\n  names: {kind: Thing, plural: things, singular: thing, listKind: ThingList}\n  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]',
      ].join('\n---\n'),
    );
    const { former: none } = await rig.activities.recordManifestState({ scope: rig.scope, manifests: [manifest] });
    await rig.activities.applyManifest({ scope: rig.scope, manifest, former: none });
    expect(await rig.must('/apis/example.com/v1/namespaces/fresh/things/one')).toHaveProperty('spec.a', 1);
  });

  it('names the object that the cluster refuses, and why', async () => {
    const manifest = await rig.manifest('apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Bad_Name}\n');
    await expect(rig.activities.applyManifest({ scope: rig.scope, manifest, former: state.former })).rejects.toThrow(
      /Bad_Name/,
    );
    const unknown = await rig.manifest('apiVersion: nowhere.example/v1\nkind: Thing\nmetadata: {name: a}\n');
    await expect(
      rig.activities.applyManifest({ scope: rig.scope, manifest: unknown, former: state.former }),
    ).rejects.toThrow(/serves no Thing of nowhere\.example\/v1, which Thing a \(manifest\.yaml, document 1, line 1\)/);
  });

  it('comes back to what was there, and says that nothing differs', async () => {
    const back = await undo();
    expect(back.differences).toEqual([]);
    expect(back.applied).toBe(pair.etcd.objects);
    for (const path of paths) expect(contentOf(await rig.must(path))).toEqual(contentOf(former[path]!));
    expect(await rig.cluster.get(`${crds}/ippools.crd.projectcalico.org`)).toBeDefined();
    expect(await undo()).toMatchObject({ removed: 0, restored: 0, differences: [] });
  });

  it('puts definitions back that were there with another content, and tells of one that the server keeps', async () => {
    const path = `${crds}/widgets.example.com`;
    const crd = (field: string, version = 'v1') =>
      `apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: widgets.example.com}\nspec:\n  group: example.com\n  scope: Cluster\n  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}\n  versions: [{name: ${version}, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {${field}: {type: string}}}}}]\n`;
    const theirs = await rig.manifest(crd('theirs'));
    const { scope } = rig;
    const { former: none } = await rig.activities.recordManifestState({ scope, manifests: [theirs] });
    await rig.activities.applyManifest({ scope, manifest: theirs, former: none });
    const before = contentOf(await rig.must(path));

    const manifest = await rig.manifest(crd('ours'));
    const recorded = await rig.activities.recordManifestState({ scope, manifests: [manifest, pair.etcd.artifact] });
    await rig.activities.applyManifest({ scope, manifest, former: recorded.former });
    expect(contentOf(await rig.must(path))).not.toEqual(before);
    const request = { scope, manifest, etcd: pair.etcd.artifact, former: recorded.former };
    expect(await rig.activities.undoManifest(request)).toMatchObject({ restored: 1, removed: 0, differences: [] });
    expect(contentOf(await rig.must(path))).toEqual(before);
    expect(await rig.activities.undoManifest(request)).toMatchObject({ restored: 0, differences: [] });

    const { versions } = isObject(before.spec) ? before.spec : {};
    const [first] = (Array.isArray(versions) ? versions : []).filter(isObject);
    const two = [first!, { ...first, name: 'v2', storage: false }];
    await rig.cluster.change('PATCH', path, { spec: { versions: two } }, merge);
    await rig.cluster.change('PATCH', `${path}/status`, { status: { storedVersions: ['v1', 'v2'] } }, merge);
    const { differences } = await rig.activities.undoManifest(request);
    expect(differences[0]).toMatch(/^CustomResourceDefinition widgets\.example\.com stays as the switch left it: .*v2/);
    await rig.cluster.change('DELETE', path);
  });

  it('comes back from a switch that stopped in the middle, when somebody has changed things meanwhile', async () => {
    const extra = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra, namespace: kube-system}\ndata: {a: new}\n';
    await rig.cluster.change('POST', configMaps, { metadata: { name: 'extra' }, data: { a: 'old', b: 'kept' } });
    const text = await rig.artifacts.read(pair.kubernetes.artifact);
    const brought = extra.replace('extra', 'brought');
    const manifest = await rig.manifest(`${text}\n---\n${extra}---\n${brought}`);
    const recorded = await rig.activities.recordManifestState({
      scope: rig.scope,
      manifests: [manifest, pair.etcd.artifact],
    });
    const half = await rig.manifest(`${extra}---\n${brought}`);
    await rig.activities.applyManifest({ scope: rig.scope, manifest: half, former: recorded.former });
    expect(await rig.must(`${configMaps}/extra`)).toHaveProperty('data', { a: 'new', b: 'kept' });

    const request = { scope: rig.scope, manifest, etcd: pair.etcd.artifact, former: recorded.former };
    expect(await rig.activities.undoManifest(request)).toMatchObject({ removed: 1, restored: 1, differences: [] });
    expect(await rig.must(`${configMaps}/extra`)).toHaveProperty('data', { a: 'old', b: 'kept' });
    expect(await rig.cluster.get(`${configMaps}/brought`)).toBeUndefined();

    await rig.cluster.change('DELETE', `${configMaps}/extra`);
    expect(await rig.activities.undoManifest(request)).toMatchObject({ removed: 0, restored: 1, differences: [] });
  });

  it('goes there and back with no more rights than the example gives', async () => {
    const kubernetes = new KubernetesConnections({ CLUSTER: rig.servers.kubernetes.kubeconfig(workerAccount.name) });
    const worker = createSwitchActivities({ ...rig.dependencies, kubernetes });
    const { scope } = rig;
    const manifests = [pair.kubernetes.artifact, pair.etcd.artifact];
    const recorded = await worker.recordManifestState({ scope, manifests });
    const request = { scope, manifest: pair.kubernetes.artifact, former: recorded.former };
    expect((await worker.applyManifest(request)).applied).toBe(pair.kubernetes.objects);
    await rig.cluster.change('DELETE', `${configMaps}/calico-config`);
    const back = await worker.undoManifest({ ...request, etcd: pair.etcd.artifact });
    expect(back).toMatchObject({ applied: pair.etcd.objects, differences: [] });
  });

  it('says what it did not bring back', async () => {
    const config = `${configMaps}/calico-config`;
    await rig.cluster.change('PATCH', config, { data: { somebody: 'else' } }, merge);
    const { differences } = await undo();
    expect(differences).toEqual(['ConfigMap kube-system/calico-config: data.somebody was absent, is "else"']);
    await rig.cluster.change('PATCH', config, { data: { somebody: null } }, merge);
  });

  it('leaves Secrets as they are, and keeps nothing of them', async () => {
    const secret = '/api/v1/namespaces/kube-system/secrets/calico-etcd-secrets';
    const before = await rig.must(secret);
    const value = Buffer.from('the key that nobody may see').toString('base64');
    const path = await rig.file('filled.yaml', 'etcd', (text) => text.replaceAll('ZXhhbXBsZQ==', value));
    const { kubernetes, etcd } = await rig.manifests({ etcd: path });
    expect(etcd.secrets).toEqual(['Secret kube-system/calico-etcd-secrets']);
    const text = await rig.artifacts.read(etcd.artifact);
    expect(text).not.toContain(value);
    const original = await rig.artifacts.read(pair.etcd.artifact);
    expect(text).toBe(original);
    const file = await readFile(path, 'utf8');
    const line = (of: string) => of.split('\n').findIndex((one) => one.includes('kind: DaemonSet'));
    expect(line(text)).toBe(line(file));

    const { scope } = rig;
    const manifests = [kubernetes.artifact, etcd.artifact];
    const { former: recorded } = await rig.activities.recordManifestState({ scope, manifests });
    expect(await rig.artifacts.read(recorded)).not.toContain('Secret/');
    await rig.activities.undoManifest({ scope, manifest: manifests[0]!, etcd: manifests[1]!, former: recorded });
    expect(await rig.must(secret)).toEqual(before);

    const list =
      'apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {b: Yw==}}, {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]';
    const listed = await rig.file('listed.yaml', 'etcd', (whole) => `${whole}\n---\n${list}\n`);
    await expect(rig.manifests({ etcd: listed })).rejects.toThrow(/Secret a .*no document of its own/);
  });
});
