import type { CalicoScope } from '../../../activities/calico/scope';
import type { EtcdSnapshot } from '../../../activities/calico/etcd';
import { EtcdRig } from '../../fixtures/etcd-rig';

let rig: EtcdRig;
beforeAll(async () => {
  rig = await EtcdRig.start();
});
afterAll(() => rig.stop());

const resources = 'resources/v3/projectcalico.org';

async function pinned(): Promise<{ scope: CalicoScope; prefix: string; key: string; snapshot: EtcdSnapshot }> {
  const { scope, prefix, key } = await rig.initialised(false);
  await rig.fill([
    [`${prefix}/${resources}/ippools/a`, '{"kind":"IPPool"}'],
    [`${prefix}/${resources}/ippools/b`, '{"kind":"IPPool"}'],
    [`${prefix}/${resources}/networkpolicies/shop/knp.default.web`, '{}'],
    [`${prefix}/ipam/v2/handle/h1`, '{}'],
    [`${prefix}/felix/v2/no-region/host/n1/status`, '{}'],
  ]);
  const snapshot = await rig.activities.takeEtcdSnapshot({ scope, name: 'etcd.jsonl' });
  return { scope, prefix, key, snapshot };
}

it('finds nothing when nothing was written, and nothing when others wrote beside the prefix', async () => {
  const { scope, prefix, snapshot } = await pinned();
  const none = { harmless: 0, changes: [], total: 0 };
  expect(await rig.activities.findEtcdDrift({ scope, snapshot })).toEqual({ ...none, revision: snapshot.revision });
  await rig.raw.put(`${prefix}-other/x`).value('1');
  await rig.raw.put('/registry/pods/x').value('1');
  const drift = await rig.activities.findEtcdDrift({ scope, snapshot });
  expect(drift).toMatchObject(none);
  expect(BigInt(drift.revision)).toBeGreaterThan(BigInt(snapshot.revision));
});

it('tells what was added, changed and deleted since', async () => {
  const { scope, prefix, snapshot } = await pinned();
  await rig.raw.put(`${prefix}/${resources}/ippools/a`).value('{"kind":"IPPool","spec":{}}');
  await rig.raw.delete().key(`${prefix}/${resources}/ippools/b`);
  await rig.raw.put(`${prefix}/ipam/v2/handle/h2`).value('{}');
  const { revision } = await rig.activities.etcdLockState({ scope });
  const drift = await rig.activities.findEtcdDrift({ scope, snapshot });
  expect(drift).toEqual({
    harmless: 0,
    total: 3,
    changes: [
      { key: `${prefix}/ipam/v2/handle/h2`, change: 'added' },
      { key: `${prefix}/${resources}/ippools/a`, change: 'changed' },
      { key: `${prefix}/${resources}/ippools/b`, change: 'deleted' },
    ],
    revision,
  });
});

it('counts as harmless what no migration carries, and what was written again as it was', async () => {
  const { scope, prefix, snapshot } = await pinned();
  const harmless = [
    'felix/v2/no-region/host/n1/status',
    'felix/v1/host/n1/endpoint/e1',
    'bgp/v1/global/x',
    'ipam/v2/host/n1',
    `${resources}/globalnetworkpolicies/kanp.adminnetworkpolicy.x`,
    `${resources}/workloadendpoints/shop/n1-k8s-web-eth0`,
    `${resources}/caliconodestatuses/n1`,
    `${resources}/networkpolicies/shop/knp.default.new`,
    `${resources}/profiles/kns.shop`,
    `${resources}/profiles/ksa.shop.default`,
  ];
  await rig.fill(harmless.map((key): [string, string] => [`${prefix}/${key}`, '{"new":1}']));
  await rig.raw.delete().key(`${prefix}/${resources}/networkpolicies/shop/knp.default.web`);
  await rig.raw.put(`${prefix}/${resources}/ippools/a`).value('{"kind":"IPPool"}');
  expect(await rig.activities.findEtcdDrift({ scope, snapshot })).toMatchObject({
    harmless: harmless.length + 2,
    total: 0,
    changes: [],
  });
});

it('counts as data what it does not know, policies that only look like mirrored ones, and profiles of users', async () => {
  const { scope, prefix, snapshot } = await pinned();
  const data = [
    'ipam/v2/host/n1/ipv4/block/10.0.0.0-26',
    'something/else',
    `${resources}/globalnetworkpolicies/knp.default.x`,
    `${resources}/networkpolicies/shop/default.knp.default.x`,
    `${resources}/profiles/mine`,
    `${resources}/unknownkinds/x`,
  ];
  await rig.fill(data.map((key): [string, string] => [`${prefix}/${key}`, '{}']));
  const drift = await rig.activities.findEtcdDrift({ scope, snapshot });
  expect(drift.harmless).toBe(0);
  expect(drift.changes.map(({ key }) => key)).toEqual(data.map((key) => `${prefix}/${key}`).sort());
});

it('leaves out the keys that the migration itself has written', async () => {
  const { scope, key, snapshot } = await pinned();
  await rig.activities.unlockEtcd({ scope, to: 'ready' });
  expect((await rig.activities.findEtcdDrift({ scope, snapshot })).changes).toEqual([{ key, change: 'changed' }]);
  expect(await rig.activities.findEtcdDrift({ scope, snapshot, ignore: [key] })).toMatchObject({
    total: 0,
    harmless: 0,
  });
});

it('sees a key that was deleted and made again with another content, and names twenty of many', async () => {
  const { scope, prefix, snapshot } = await pinned();
  await rig.raw.delete().key(`${prefix}/ipam/v2/handle/h1`);
  await rig.raw.put(`${prefix}/ipam/v2/handle/h1`).value('{"other":1}');
  await rig.fill(Array.from({ length: 30 }, (_, n): [string, string] => [`${prefix}/ipam/v2/handle/new${n}`, '{}']));
  const drift = await rig.activities.findEtcdDrift({ scope, snapshot });
  expect(drift.total).toBe(31);
  expect(drift.changes).toHaveLength(20);
  expect(drift.changes[0]).toEqual({ key: `${prefix}/ipam/v2/handle/h1`, change: 'changed' });
});

it('needs no revision that etcd may have compacted away', async () => {
  const { scope, prefix, snapshot } = await pinned();
  await rig.compact(`${prefix}/ipam/v2/handle/h2`);
  const drift = await rig.activities.findEtcdDrift({ scope, snapshot });
  expect(drift.changes).toEqual([{ key: `${prefix}/ipam/v2/handle/h2`, change: 'added' }]);
});
