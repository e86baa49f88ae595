// Everything that can stop a Calico migration is said before anything is locked, each thing by a check of its own, and looking changes nothing.
import { createCalicoPreflightActivities, calicoCheckNames } from '../../../activities/calico/preflight';
import type { CalicoPreflightResult } from '../../../activities/calico/preflight';
import { createEtcdActivities } from '../../../activities/calico/etcd';
import { EtcdConnections } from '../../../activities/calico/etcd/connection';
import { KubernetesConnections } from '../../../activities/calico/kubernetes/connection';
import type { JsonObject } from '../../../activities/calico/json';
import { desiredState } from '../../../activities/calico/model/desired';
import { exportEntries } from '../../../activities/calico/model/export';
import { createSwitchActivities } from '../../../activities/calico/switch';
import type { Check } from '../../../journal/types';
import { parseCalicoPlan } from '../../../plan/parse';
import type { CalicoPlanInput } from '../../../plan/calico';
import { calicoCrds } from '../../../examples/calico/crds';
import { sampleDatastore, writeSampleDatastore, type Spoilt } from '../../../examples/calico/sample-datastore';
import { grantWorkerRights, workerAccount } from '../../../examples/calico/seed-cluster';
import { startRolloutStandIn, type RolloutStandIn } from '../../../examples/calico/rollout-stand-in';
import { daemonSets, SwitchRig } from '../../fixtures/switch-rig';
import { until } from '../../fixtures/until';

const small = { handles: 40, policies: 10, nodes: 3 };
const crdsPath = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const group = '/apis/crd.projectcalico.org/v1';
const merge = 'application/merge-patch+json';

let rig: SwitchRig;
let controllers: RolloutStandIn;
let pair: Awaited<ReturnType<SwitchRig['manifests']>>;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  rig = await SwitchRig.start(small, { tokens: [workerAccount, { name: 'nobody' }] });
  controllers = startRolloutStandIn(rig.cluster, { nodes: 3, stepMs: 50 });
  pair = await rig.manifests();
  await grantWorkerRights(rig.cluster);
  environment = {
    CLUSTER: rig.servers.kubernetes.kubeconfig(),
    WORKER: rig.servers.kubernetes.kubeconfig(workerAccount.name),
    NOBODY: rig.servers.kubernetes.kubeconfig('nobody'),
  };
  await rig.activities.waitForRollout({
    scope: rig.scope,
    manifest: pair.etcd.artifact,
    timeoutMs: 60_000,
    expect: 'etcd',
  });
});
afterAll(async () => {
  await controllers.stop();
  await rig.stop();
});

interface Circumstances {
  plan?: Partial<CalicoPlanInput>;
  prefix?: string;
  manifests?: typeof pair | 'none';
}

async function look({ plan: change = {}, prefix = '/calico', manifests = pair }: Circumstances = {}) {
  const source = { endpoints: [rig.servers.etcd.endpoint], prefix };
  const parsed = parseCalicoPlan({ name: 'move', source, target: { kubeconfig: { env: 'CLUSTER' } }, ...change });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  const { plan } = parsed;
  const scope = { migration: 'move', source: plan.source, target: plan.target };
  const activities = createCalicoPreflightActivities({
    ...rig.dependencies,
    etcd: new EtcdConnections(environment),
    kubernetes: new KubernetesConnections(environment),
    environment,
  });
  return activities.preflightCalico({ scope, plan, ...(manifests !== 'none' && { manifests }) });
}

const called = ({ checks }: CalicoPreflightResult, name: string): Check => {
  const check = checks.find((candidate) => candidate.name === name);
  if (!check) throw new Error(`There is no check ${name}.`);
  return check;
};
const notPassed = ({ checks }: CalicoPreflightResult) =>
  checks.filter(({ outcome }) => outcome !== 'pass').map(({ name, outcome }) => `${outcome} ${name}`);

let prefixes = 0;
async function spoilt(...kinds: Spoilt[]): Promise<string> {
  prefixes += 1;
  const prefix = `/spoilt${prefixes}`;
  await writeSampleDatastore(rig.etcd, { ...small, prefix, spoilt: kinds });
  return prefix;
}
const resource = (prefix: string, path: string) => `${prefix}/resources/v3/projectcalico.org/${path}`;

describe('a datastore and a cluster that are as they should be', () => {
  it('pass, and nothing is changed by looking', async () => {
    const revision = async () => (await rig.etcd.get('nothing').exec()).header.revision;
    const node = async () => (await rig.must(`${daemonSets}/calico-node`)).metadata;
    const before = [await revision(), await node(), await rig.cluster.list(crdsPath)];
    const seen = await look();
    // One node of the sample carries an annotation that somebody left there.
    expect(notPassed(seen)).toEqual(['warn node-annotations']);
    expect([await revision(), await node(), await rig.cluster.list(crdsPath)]).toEqual(before);
    expect(seen.checks.map(({ name }) => name)).toEqual(calicoCheckNames);
    const { encoding, ...facts } = seen.facts;
    expect(encoding).toEqual({ policyNaming: 'prefixed', affinityLabels: false });
    expect(facts).toMatchObject({ calicoVersion: 'v3.30.3', targetVersion: 'v3.30.3', nodes: 3, refused: {} });
    expect(facts.keys).toBe(sampleDatastore(small).entries.length);
    expect(facts.objects).toBeGreaterThan(40);
    expect(facts.estimatedImportMs).toBe(Math.round(((facts.objects + 3) * 1_000) / 200));
    expect(facts.etcdVersion).toMatch(/^3\./);
    expect(facts.kubernetesVersion).toMatch(/^v1\./);
  });

  it('need no more rights than the example gives', async () => {
    const seen = await look({ plan: { target: { kubeconfig: { env: 'WORKER' } } } });
    expect(notPassed(seen)).toEqual(['warn node-annotations']);
  });

  it('are named without a secret', async () => {
    const parsed = parseCalicoPlan({
      name: 'move',
      source: { endpoints: ['https://10.0.0.1:2379'] },
      target: { kubeconfig: { env: 'CLUSTER' } },
    });
    if (!parsed.ok) throw new Error('no plan');
    const activities = createCalicoPreflightActivities({
      ...rig.dependencies,
      kubernetes: new KubernetesConnections(environment),
    });
    expect(await activities.identifyCalicoPlan({ plan: parsed.plan })).toEqual({
      digest: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
      source: 'etcd https://10.0.0.1:2379 /calico',
      target: `kubernetes by env CLUSTER (${rig.servers.kubernetes.url})`,
    });
  });
});

describe('what the Kubernetes datastore cannot hold', () => {
  it.each<[Spoilt, string, RegExp]>([
    ['unparseable', 'values-readable', /1 value that cannot be read: .*default\.half-written/],
    ['no-utf8', 'values-readable', /globalnetworksets\/binary/],
    ['user-profile', 'user-profiles', /profiles\/quarantine/],
    ['node-without-kubernetes', 'nodes-named-by-kubernetes', /bare-metal-7/],
    ['vanished-node', 'nodes-known', /1 node of Calico that the cluster does not have: node-gone/],
    ['unknown-kind', 'kinds-known', /gadgets\/one/],
  ])('%s stops the migration by %s, unless the plan accepts it', async (kind, name, found) => {
    const prefix = await spoilt(kind);
    const seen = await look({ prefix });
    expect(called(seen, name)).toMatchObject({ outcome: 'fail', found: expect.stringMatching(found) as unknown });
    expect(called(seen, name).fix).toBeTruthy();
    const failed = notPassed(seen).filter((line) => line.startsWith('fail'));
    expect(failed).toEqual([`fail ${name}`]);
    expect(called(await look({ prefix, plan: { unmigratable: 'report' } }), name).outcome).toBe('warn');
    expect(called(await look({ prefix, plan: { waivers: { [name]: 'we know' } } }), name)).toMatchObject({
      outcome: 'warn',
      waived: 'we know',
    });
  });

  it('is counted by category, for the export to be measured by', async () => {
    const { facts } = await look({ prefix: await spoilt('unparseable', 'no-utf8', 'user-profile') });
    expect(facts.refused).toEqual({ unparseable: 2, 'user-profile': 1 });
  });

  it('only warns of requests for node status, and of addresses of nodes that are gone', async () => {
    const seen = await look({ prefix: await spoilt('node-status', 'vanished-node') });
    expect(called(seen, 'node-status').outcome).toBe('warn');
    expect(called(seen, 'addresses-of-gone-nodes')).toMatchObject({
      outcome: 'warn',
      found: expect.stringContaining('node-gone (1 block') as unknown,
    });
  });

  it('names policies of missing tiers and two objects that would be one', async () => {
    const prefix = await spoilt();
    const policy = (name: string, spec: JsonObject) =>
      rig.etcd.put(resource(prefix, `globalnetworkpolicies/${name}`)).value(
        JSON.stringify({
          kind: 'GlobalNetworkPolicy',
          apiVersion: 'projectcalico.org/v3',
          metadata: { name },
          spec,
        }),
      );
    await policy('nowhere.lost', { tier: 'nowhere' });
    await rig.etcd.put(`${prefix}/ipam/v2/handle/Same`).value('{"block":{},"deleted":false}');
    await rig.etcd.put(`${prefix}/ipam/v2/handle/same`).value('{"block":{},"deleted":false}');
    const seen = await look({ prefix });
    expect(called(seen, 'tiers-present')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('nowhere.lost') as unknown,
    });
    expect(called(seen, 'no-collisions')).toMatchObject({
      outcome: 'fail',
      found: expect.stringMatching(/handle.*same/i) as unknown,
    });
  });

  it('names tiers that drifted, objects that are too large and namespaces that are not there', async () => {
    const prefix = await spoilt();
    const put = (path: string, object: JsonObject) =>
      rig.etcd.put(resource(prefix, path)).value(JSON.stringify(object));
    const v3 = { apiVersion: 'projectcalico.org/v3' };
    await put('tiers/default', { ...v3, kind: 'Tier', metadata: { name: 'default' }, spec: { order: 5 } });
    const note = 'x'.repeat(200_000);
    const annotations = { 'projectcalico.org/note': note };
    const nets = Array.from({ length: 20 }, (_, index) => `10.0.0.${index}/32`);
    await put('globalnetworksets/large', {
      ...v3,
      kind: 'GlobalNetworkSet',
      metadata: { name: 'large', annotations },
      spec: { nets },
    });
    await put('networksets/away/one', {
      ...v3,
      kind: 'NetworkSet',
      metadata: { name: 'one', namespace: 'away' },
      spec: { nets },
    });
    const seen = await look({ prefix });
    expect(called(seen, 'built-in-tiers')).toMatchObject({
      outcome: 'fail',
      found: expect.stringMatching(/default has order 5/) as unknown,
    });
    expect(called(seen, 'object-size')).toMatchObject({
      outcome: 'fail',
      found: expect.stringMatching(/GlobalNetworkSet large \(\d+ bytes of annotations\)/) as unknown,
    });
    expect(called(seen, 'namespaces')).toMatchObject({ outcome: 'fail', found: 'away is missing (1 object)' });
  });

  it('names an object that the definitions would change or refuse, before anything is locked', async () => {
    const prefix = await spoilt();
    const set = (name: string, spec: object) =>
      rig.etcd.put(resource(prefix, `globalnetworksets/${name}`)).value(
        JSON.stringify({
          apiVersion: 'projectcalico.org/v3',
          kind: 'GlobalNetworkSet',
          metadata: { name },
          spec,
        }),
      );
    await set('ahead', { nets: ['192.0.2.0/24'], fromTheFuture: true });
    await set('text', { nets: '192.0.2.0/24' });
    const { outcome, found } = called(await look({ prefix }), 'objects-accepted');
    expect(outcome).toBe('fail');
    expect(found).toMatch(/GlobalNetworkSet ahead.*fromTheFuture/);
    expect(found).toMatch(/GlobalNetworkSet text.*nets/);
  });
});

describe('the lock', () => {
  it('that somebody holds already stops it', async () => {
    const prefix = await spoilt();
    const etcd = createEtcdActivities(rig.dependencies);
    await etcd.lockEtcd({ scope: { ...rig.scope, source: { ...rig.scope.source, prefix } } });
    expect(called(await look({ prefix }), 'etcd-lock')).toMatchObject({
      outcome: 'fail',
      found: expect.stringMatching(/^locked already/) as unknown,
    });
  });

  it('needs a ClusterInformation, which no waiver brings', async () => {
    const prefix = await spoilt();
    const key = resource(prefix, 'clusterinformations/default');
    await rig.etcd.delete().key(key);
    const without = await look({ prefix, plan: { waivers: { 'cluster-information': 'we know' } } });
    expect(called(without, 'cluster-information')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('cannot be waived') as unknown,
    });
    await rig.etcd.put(key).value('{"kind":"ClusterInformation","spec":{"datastoreReady":"maybe"}}');
    expect(called(await look({ prefix }), 'cluster-information').outcome).toBe('fail');
  });

  it('is looked for on both sides', async () => {
    const crd = calicoCrds().find(({ spec }) => JSON.stringify(spec).includes('"clusterinformations"'))!;
    await rig.cluster.change('POST', crdsPath, crd);
    const collection = `${group}/clusterinformations`;
    await until('it is served', async () => (await rig.cluster.list(collection)) !== undefined);
    const body = { apiVersion: 'crd.projectcalico.org/v1', kind: 'ClusterInformation', metadata: { name: 'default' } };
    await rig.cluster.change('POST', collection, { ...body, spec: { datastoreReady: true } });
    expect(called(await look(), 'target-lock').outcome).toBe('fail');
    await rig.cluster.change('PATCH', `${collection}/default`, { spec: { datastoreReady: false } }, merge);
    expect(called(await look(), 'target-lock')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('clusterGUID') as unknown,
    });
    expect(called(await look({ plan: { existing: 'replace' } }), 'target-lock').outcome).toBe('warn');
    const entries = sampleDatastore(small).entries.map(({ key, value }) => ({
      key,
      value: value.toString(),
      createRevision: '1',
      modRevision: '1',
    }));
    const { data } = exportEntries(entries, { prefix: '/calico', revision: '1' });
    const [information] = desiredState(data, { policyNaming: 'prefixed', affinityLabels: false }).objects;
    await rig.cluster.change('PATCH', `${collection}/default`, information!.body, merge);
    expect(called(await look(), 'target-lock').outcome).toBe('warn');
    await rig.cluster.change('DELETE', `${crdsPath}/clusterinformations.crd.projectcalico.org`);
    await until(
      'it is gone',
      async () => !(await rig.cluster.get(`${crdsPath}/clusterinformations.crd.projectcalico.org`)),
    );
  });
});

describe('a side that cannot be reached', () => {
  it('is said once, and everything that needs it is not taken for good', async () => {
    const source = { endpoints: ['http://127.0.0.1:1'] };
    const seen = await look({ plan: { source } });
    expect(called(seen, 'etcd-reachable').outcome).toBe('fail');
    for (const check of seen.checks.filter(({ side }) => side === 'source' || side === 'both')) {
      expect(check.outcome).toBe('fail');
    }
    expect(called(seen, 'crds').outcome).toBe('pass');
    expect(seen.facts).toMatchObject({ keys: 0, objects: 0, etcdVersion: '' });
  });

  it('is named when it is the cluster', async () => {
    environment.AWAY = rig.servers.kubernetes.kubeconfig().replace(/server: .*/, 'server: https://127.0.0.1:1');
    const seen = await look({ plan: { target: { kubeconfig: { env: 'AWAY' } } } });
    expect(called(seen, 'kubernetes-reachable').outcome).toBe('fail');
    expect(called(seen, 'values-readable').outcome).toBe('pass');
    expect(seen.facts.kubernetesVersion).toBe('');
  });

  it('is one that holds no Calico', async () => {
    const seen = await look({ prefix: '/elsewhere' });
    expect(called(seen, 'etcd-data')).toMatchObject({ outcome: 'fail', found: 'no key below /elsewhere/' });
  });
});

describe('the cluster', () => {
  it('must allow what will be asked of it, each missing right named', async () => {
    const seen = await look({ plan: { target: { kubeconfig: { env: 'NOBODY' } } } });
    const { outcome, found } = called(seen, 'kubernetes-permissions');
    expect(outcome).toBe('fail');
    expect(found).toMatch(
      /^missing: get, list, create, update, delete ippools\.crd\.projectcalico\.org; .* and \d+ more$/,
    );
    const role = '/apis/rbac.authorization.k8s.io/v1/clusterroles/cutover-calico-data';
    const former = await rig.must(role);
    const rules = (Array.isArray(former.rules) ? former.rules : []).filter(
      (rule) => !JSON.stringify(rule).includes('nodes/status'),
    );
    await rig.cluster.change('PATCH', role, { rules }, merge);
    await until('the role has changed for the apiserver', async () => {
      const less = await look({ plan: { target: { kubeconfig: { env: 'WORKER' } } } });
      return called(less, 'kubernetes-permissions').found === 'missing: patch nodes/status';
    });
    await rig.cluster.change('PATCH', role, { rules: former.rules! }, merge);
  });

  it('needs the definitions, or a manifest that brings them', async () => {
    const seen = await look({ manifests: 'none' });
    expect(called(seen, 'crds')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('and 8 more') as unknown,
    });
    expect(called(seen, 'manifests').outcome).toBe('warn');
    expect(called(seen, 'kinds-served')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('tiers') as unknown,
    });
  });

  it('may lack the definitions of a newer Calico, as long as there are no objects of theirs', async () => {
    const newer = ['stagednetworkpolicies', 'stagedkubernetesnetworkpolicies', 'stagedglobalnetworkpolicies'];
    const older = await rig.file('older.yaml', 'kubernetes', (text) =>
      text
        .split(/^(?=---)/m)
        .filter((document) => !newer.some((plural) => document.includes(`name: ${plural}.crd.projectcalico.org`)))
        .join(''),
    );
    const manifests = await rig.manifests({ kubernetes: older });
    expect(manifests.kubernetes.crds).toHaveLength(19);
    const seen = await look({ manifests });
    expect(called(seen, 'crds').outcome).toBe('pass');
    expect(called(seen, 'kinds-served')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('Staged') as unknown,
    });

    const prefix = '/older';
    const kept = sampleDatastore({ ...small, prefix }).entries.filter(
      ({ key }) => !newer.some((plural) => key.includes(`/${plural}/`)),
    );
    for (const { key, value } of kept) await rig.etcd.put(key).value(value);
    const without = await look({ manifests, prefix });
    expect(called(without, 'kinds-served')).toMatchObject({ outcome: 'pass' });
  });

  it('must not keep Calico by its native definitions', async () => {
    const names = { kind: 'Tier', plural: 'tiers', singular: 'tier', listKind: 'TierList' };
    const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
    await rig.cluster.change('POST', crdsPath, {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: {
        name: 'tiers.projectcalico.org',
        annotations: { 'api-approved.kubernetes.io': 'unapproved, for a test' },
      },
      spec: {
        group: 'projectcalico.org',
        scope: 'Cluster',
        names,
        versions: [{ name: 'v3', served: true, storage: true, schema }],
      },
    });
    expect(called(await look(), 'datastore-kind').outcome).toBe('fail');
    await rig.cluster.change('DELETE', `${crdsPath}/tiers.projectcalico.org`);
  });

  it('is compared with what would be written, object by object', async () => {
    for (const crd of calicoCrds()) await rig.cluster.ask('POST', crdsPath, crd);
    await until('all are served', async () => {
      const all = await Promise.all(
        ['ippools', 'globalnetworksets', 'tiers'].map((plural) => rig.cluster.list(`${group}/${plural}`)),
      );
      return all.every((items) => items !== undefined);
    });
    await until('all are established', async () => called(await look(), 'crds').outcome === 'pass');
    const sets = calicoCrds().find(({ spec }) => JSON.stringify(spec).includes('"globalnetworksets"'))!;
    const { versions } = sets.spec as { versions: JsonObject[] };
    const closed = { openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object' } } } };
    const setsPath = `${crdsPath}/globalnetworksets.crd.projectcalico.org`;
    await rig.cluster.change('PATCH', setsPath, { spec: { versions: [{ ...versions[0], schema: closed }] } }, merge);
    expect(called(await look(), 'crds')).toMatchObject({
      outcome: 'warn',
      found: expect.stringMatching(/^1 definition .* globalnetworksets/) as unknown,
    });
    await rig.cluster.change('PATCH', setsPath, { spec: { versions } }, merge);
    const entries = sampleDatastore(small).entries.map(({ key, value }) => ({
      key,
      value: value.toString(),
      createRevision: '1',
      modRevision: '1',
    }));
    const { data } = exportEntries(entries, { prefix: '/calico', revision: '1' });
    const { objects } = desiredState(data, { policyNaming: 'prefixed', affinityLabels: false });
    const pool = objects.find(({ kind }) => kind === 'IPPool')!;
    await rig.cluster.change('POST', `${group}/ippools`, pool.body);
    const equal = await look();
    expect(called(equal, 'target-objects')).toMatchObject({ outcome: 'pass', found: '1 object, all equal' });
    expect(called(equal, 'foreign-objects').outcome).toBe('pass');

    await rig.cluster.change('PATCH', `${group}/ippools/${pool.name}`, { spec: { disabled: true } }, merge);
    expect(called(await look(), 'target-objects')).toMatchObject({
      outcome: 'fail',
      found: expect.stringMatching(new RegExp(`IPPool ${pool.name} \\(spec\\.disabled`)) as unknown,
    });
    expect(called(await look({ plan: { existing: 'replace' } }), 'target-objects').outcome).toBe('warn');

    const body = {
      apiVersion: 'crd.projectcalico.org/v1',
      kind: 'GlobalNetworkSet',
      metadata: { name: 'stray' },
      spec: {},
    };
    await rig.cluster.change('POST', `${group}/globalnetworksets`, body);
    expect(called(await look(), 'foreign-objects')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('GlobalNetworkSet stray') as unknown,
    });
    await rig.cluster.change('DELETE', `${group}/globalnetworksets/stray`);
    await rig.cluster.change('DELETE', `${group}/ippools/${pool.name}`);
  });

  it('may be managed by an operator, which would undo the switch', async () => {
    const names = {
      kind: 'Installation',
      plural: 'installations',
      singular: 'installation',
      listKind: 'InstallationList',
    };
    const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
    await rig.cluster.change('POST', crdsPath, {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'installations.operator.tigera.io' },
      spec: {
        group: 'operator.tigera.io',
        scope: 'Cluster',
        names,
        versions: [{ name: 'v1', served: true, storage: true, schema }],
      },
    });
    const collection = '/apis/operator.tigera.io/v1/installations';
    await until('it is served', async () => (await rig.cluster.list(collection)) !== undefined);
    const body = { apiVersion: 'operator.tigera.io/v1', kind: 'Installation', metadata: { name: 'default' } };
    await rig.cluster.change('POST', collection, body);
    expect(called(await look(), 'operator').outcome).toBe('fail');
    expect(called(await look({ manifests: 'none' }), 'operator').outcome).toBe('warn');
    await rig.cluster.change('DELETE', `${crdsPath}/installations.operator.tigera.io`);
  });
});

describe('the manifests', () => {
  it('are tried on the cluster, and told apart from what it runs', async () => {
    const refused = await rig.file('refused.yaml', 'kubernetes', (text) =>
      text.replace(/(matchLabels:\s+k8s-app: )calico-node/, '$1other'),
    );
    const changed = await rig.file('changed.yaml', 'etcd', (text) => text.replace("veth_mtu: '0'", "veth_mtu: '1440'"));
    const manifests = await rig.manifests({ kubernetes: refused, etcd: changed });
    const seen = await look({ manifests });
    expect(called(seen, 'manifest-accepted')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('calico-node') as unknown,
    });
    expect(called(seen, 'etcd-manifest')).toMatchObject({
      outcome: 'warn',
      found: expect.stringContaining('data.veth_mtu was "0", is "1440"') as unknown,
    });
  });

  it('are told to lack what the cluster was given, which the way back would take away', async () => {
    const pristine = await rig.file('pristine.yaml', 'etcd', (text) =>
      text.replace(/ +- name: SLEEP\n +value: 'false'\n/, '').replace(/ +veth_mtu: '0'\n/, ''),
    );
    const seen = await look({ manifests: await rig.manifests({ etcd: pristine }) });
    const { outcome, found } = called(seen, 'etcd-manifest');
    expect(outcome).toBe('warn');
    expect(found).toContain('ConfigMap kube-system/calico-config: data.veth_mtu would go');
    expect(found).toContain(
      'DaemonSet kube-system/calico-node: spec.template.spec.initContainers[install-cni].env[SLEEP] would go',
    );
  });

  it('are of one version, that of the source', async () => {
    const newer = await rig.file('newer.yaml', 'kubernetes', (text) => text.replaceAll('v3.30.3', 'v3.32.1'));
    const seen = await look({ manifests: await rig.manifests({ kubernetes: newer }) });
    expect(called(seen, 'same-version').outcome).toBe('warn');
    expect(called(seen, 'target-version').found).toMatch(
      /^Calico v3\.32\.1, by the image.*"foo" for policy foo.*with labels/,
    );
    expect(seen.facts.encoding).toEqual({ policyNaming: 'bare', affinityLabels: true });
    const told = await look({ plan: { calicoVersion: 'v3.31.0', policyNaming: 'bare' } });
    expect(called(told, 'target-version').outcome).toBe('warn');
    expect(told.facts).toMatchObject({
      targetVersion: 'v3.31.0',
      encoding: { policyNaming: 'bare', affinityLabels: true },
    });
  });

  it('are of no use where calico-node runs on the Kubernetes datastore already', async () => {
    const { scope } = rig;
    const { applyManifest, recordManifestState } = createSwitchActivities(rig.dependencies);
    const manifest = pair.kubernetes.artifact;
    const { former } = await recordManifestState({ scope, manifests: [manifest, pair.etcd.artifact] });
    await applyManifest({ scope, manifest, former });
    expect(called(await look(), 'calico-node')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('already') as unknown,
    });
    await rig.activities.undoManifest({ scope, manifest, etcd: pair.etcd.artifact, former });
  });
});

it('a waiver that names no check is told', async () => {
  expect(called(await look({ plan: { waivers: { 'etcd-lokc': 'mistyped' } } }), 'waivers').found).toContain(
    'etcd-lokc',
  );
});
