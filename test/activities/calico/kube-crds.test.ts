import { collectionPath, crdPath, crdsPath } from '../../../activities/calico/kubernetes/paths';
import { Cluster } from '../../../examples/calico/cluster';
import { calicoCrdNames, calicoCrds } from '../../../examples/calico/crds';
import { failureOf } from '../../fixtures/failure-of';
import { custom, KubeRig } from '../../fixtures/kube-rig';
import { until } from '../../fixtures/until';

const definition = 'CustomResourceDefinition';
const merge = 'application/merge-patch+json';
const tiers = 'tiers.crd.projectcalico.org';
const pools = 'ippools.crd.projectcalico.org';

let rig: KubeRig;
let elsewhere: Cluster;

beforeAll(async () => {
  rig = await KubeRig.start();
  elsewhere = new Cluster(rig.server.kubeconfig());
});

afterAll(async () => {
  elsewhere.close();
  await rig.stop();
});

beforeEach(async () => {
  for (const name of calicoCrdNames()) await rig.api.remove(crdPath(name));
  await until('no CRD is left', async () => (await elsewhere.list(crdsPath))?.length === 0);
});

const inspect = () => rig.activities.inspectKubernetes(rig);

test('all kinds of a manifest are served when it returns', async () => {
  expect((await rig.installCrds()).sort()).toEqual(calicoCrdNames().sort());
  for (const name of calicoCrdNames()) {
    expect(await elsewhere.list(collectionPath(name.split('.')[0] ?? ''))).toEqual([]);
  }
});

test('run again it makes nothing; what is there stays as it is, and a schema of its own is noted', async () => {
  const own = calicoCrds().find(({ metadata }) => (metadata as { name: string }).name === pools);
  const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const spec = own?.spec as { versions: object[] };
  const versions = [{ ...spec.versions[0], schema: { openAPIV3Schema: open } }];
  await rig.api.create(crdsPath, { ...own, spec: { ...spec, versions } });
  const before = await elsewhere.get(crdPath(pools));

  const created = await rig.installCrds();
  expect(created).toHaveLength(21);
  expect(created).not.toContain(pools);
  expect(await rig.installCrds()).toEqual([]);

  const manifest = await rig.put(
    'again.yaml',
    calicoCrds()
      .map((crd) => `---\n${JSON.stringify(crd)}\n`)
      .join(''),
  );
  const again = await rig.activities.ensureCrds({ scope: rig.scope, manifest });
  expect(again).toMatchObject({ created: [], present: 22 });
  expect(again.notes).toEqual([expect.stringContaining(`The CRD ${pools} is there with another schema`)]);
  expect((await elsewhere.get(crdPath(pools)))?.spec).toEqual(before?.spec);
});

test('without a manifest everything that is missing is named at once', async () => {
  const refused = await failureOf(rig.activities.ensureCrds(rig));
  expect(refused).toMatchObject({ type: 'PreconditionFailed' });
  for (const name of calicoCrdNames().filter((one) => !/^(tiers|staged)/.test(one))) {
    expect(refused.message).toContain(name);
  }
});

test('an older Calico without tiers and staged policies is complete; that is noted', async () => {
  await rig.installCrds(
    calicoCrds().filter(({ metadata }) => !/^(tiers|staged)/.test((metadata as { name: string }).name)),
  );
  const { created, present, notes } = await rig.activities.ensureCrds(rig);
  expect({ created, present }).toEqual({ created: [], present: 18 });
  expect(notes).toHaveLength(4);
});

test('one that is being removed is waited for and made anew', async () => {
  await rig.installCrds();
  await elsewhere.change('PATCH', crdPath(tiers), { metadata: { finalizers: ['example.com/hold'] } }, merge);
  await rig.api.remove(crdPath(tiers));
  const first = await elsewhere.get(crdPath(tiers));
  expect(first?.metadata).toHaveProperty('deletionTimestamp');
  const again = rig.installCrds();
  await elsewhere.change('PATCH', crdPath(tiers), { metadata: { finalizers: [] } }, merge);
  expect(await again).toEqual([tiers]);
  expect(await elsewhere.list(collectionPath('tiers'))).toEqual([]);
});

describe('the way back', () => {
  test('removes what was made, once and again, and waits until it is gone', async () => {
    const { inventory } = await inspect();
    const crds = await rig.installCrds();
    const removed = await rig.activities.removeCrds({ scope: rig.scope, crds, inventory });
    expect(removed.removed.sort()).toEqual(crds.sort());
    expect(await elsewhere.list(crdsPath)).toEqual([]);
    expect((await rig.activities.removeCrds({ scope: rig.scope, crds, inventory })).kept).toEqual([]);
  });

  test('keeps what holds an object of somebody, and what was there before', async () => {
    await rig.installCrds(
      calicoCrds()
        .slice(0, 22)
        .filter(
          ({ metadata }) =>
            (metadata as { name: string }).name === pools || !/^tiers/.test((metadata as { name: string }).name),
        ),
    );
    const { inventory } = await inspect();
    const crds = await rig.installCrds();
    expect(crds).toEqual([tiers]);
    await rig.api.create(collectionPath('tiers'), custom('Tier', 'theirs', { order: 5, defaultAction: 'Deny' }));
    const asked = { scope: rig.scope, crds: [tiers, pools], inventory };
    const { removed, kept } = await rig.activities.removeCrds(asked);
    expect(removed).toEqual([]);
    expect(kept).toEqual([
      { name: tiers, why: 'it still holds objects: theirs' },
      { name: pools, why: 'it was there before the migration' },
    ]);
    await rig.api.remove(`${collectionPath('tiers')}/theirs`);
    expect((await rig.activities.removeCrds(asked)).removed).toEqual([tiers]);
    expect(await elsewhere.get(crdPath(pools))).toBeDefined();
  });

  test('keeps a definition of another group that the manifest has too, if it was there before', async () => {
    const name = 'gadgets.policy.example.com';
    const names = { kind: 'Gadget', plural: 'gadgets', singular: 'gadget', listKind: 'GadgetList' };
    const schema = { openAPIV3Schema: { type: 'object' } };
    const versions = [{ name: 'v1', served: true, storage: true, schema }];
    const spec = { group: 'policy.example.com', scope: 'Cluster', names, versions };
    await rig.api.create(crdsPath, {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: definition,
      metadata: { name },
      spec,
    });
    const { inventory, crds } = await inspect();
    expect(crds).toEqual([]);
    const asked = { scope: rig.scope, crds: [name], inventory };
    expect(await rig.activities.removeCrds(asked)).toEqual({
      removed: [],
      kept: [{ name, why: 'it was there before the migration' }],
    });
    expect(await elsewhere.get(crdPath(name))).toBeDefined();
    const left = await rig.activities.findKubernetesLeftovers(asked);
    expect(left.filter(({ state }) => state !== 'gone')).toEqual([]);
    await rig.api.remove(crdPath(name));
  });
});
