import type { EtcdSnapshot } from '../../../activities/calico/etcd';
import type { CalicoScope } from '../../../activities/calico/scope';
import { failureType } from '../../../activities/errors';
import { clusterInformationText, EtcdRig, failureOf } from '../../fixtures/etcd-rig';

let rig: EtcdRig;
beforeAll(async () => {
  rig = await EtcdRig.start();
});
afterAll(() => rig.stop());

const take = (scope: CalicoScope): Promise<EtcdSnapshot> =>
  rig.activities.takeEtcdSnapshot({ scope, name: 'etcd.jsonl' });
const content = async (scope: CalicoScope): Promise<(string | undefined)[][]> =>
  (await rig.entries((await take(scope)).artifact)).map(({ key, value, valueBase64 }) => [key, value, valueBase64]);

async function filled(flag: boolean) {
  const { scope, prefix, key } = await rig.initialised(flag);
  await rig.fill([
    ...Array.from({ length: 250 }, (_, n): [string, string] => [
      `${prefix}/k/${String(n).padStart(3, '0')}`,
      `value ${n}`,
    ]),
    [`${prefix}/bytes`, Buffer.of(0xff, 0xfe)],
    [`${prefix}/empty`, ''],
    [`${prefix}/large`, 'x'.repeat(1_000_000)],
  ]);
  return { scope, prefix, key, snapshot: await take(scope) };
}

it('puts everything back key for key, by the proof of a second snapshot, and touches nothing else', async () => {
  const { scope, prefix, snapshot } = await filled(false);
  const wanted = await content(scope);
  const beside = [prefix, `${prefix}-other/a`, `${prefix}0`, `${prefix}.`];
  await rig.fill(beside.map((key): [string, string] => [key, 'not ours']));
  await rig.fill([
    [`${prefix}/k/000`, 'changed'],
    [`${prefix}/bytes`, 'text now'],
    [`${prefix}/new/1`, 'added'],
    [`${prefix}/zzz`, 'added'],
  ]);
  await rig.raw.delete().key(`${prefix}/k/001`);
  await rig.raw.delete().key(`${prefix}/large`);
  const before = await rig.raw.getAll().prefix('/').count();
  const restored = await rig.activities.restoreEtcdSnapshot({ scope, artifact: snapshot.artifact });
  expect(restored).toEqual({ written: 4, deleted: 2, equal: 250 });
  expect(await content(scope)).toEqual(wanted);
  expect(await rig.raw.getAll().prefix('/').count()).toBe(before);
  for (const key of beside) expect(await rig.raw.get(key).string()).toBe('not ours');
});

it('does not write what is equal: a second restore changes no revision', async () => {
  const { scope, snapshot } = await filled(false);
  const { revision } = await rig.activities.etcdLockState({ scope });
  const again = await rig.activities.restoreEtcdSnapshot({ scope, artifact: snapshot.artifact });
  expect(again).toEqual({ written: 0, deleted: 0, equal: 254 });
  expect((await rig.activities.etcdLockState({ scope })).revision).toBe(revision);
});

it('fills an empty datastore, and unlocks it last if the snapshot says so', async () => {
  const { scope, prefix, key, snapshot } = await filled(true);
  const wanted = await content(scope);
  await rig.raw.delete().prefix(`${prefix}/`);
  const restored = await rig.activities.restoreEtcdSnapshot({ scope, artifact: snapshot.artifact });
  expect(restored).toEqual({ written: 254, deleted: 0, equal: 0 });
  expect(await content(scope)).toEqual(wanted);
  const { kvs } = await rig.raw.getAll().prefix(`${prefix}/`).exec();
  const newest = kvs.reduce((a, b) => (BigInt(a.mod_revision) > BigInt(b.mod_revision) ? a : b));
  expect(newest.key.toString()).toBe(key);
  // Done already, and in use again: nothing to do is no reason to refuse.
  expect(await rig.activities.restoreEtcdSnapshot({ scope, artifact: snapshot.artifact })).toMatchObject({
    equal: 254,
  });
});

it('refuses while the datastore is in use, counts on a dry run, and writes nothing in either case', async () => {
  const { scope, prefix, key, snapshot } = await filled(false);
  await rig.raw.put(key).value(clusterInformationText(true));
  await rig.raw.put(`${prefix}/k/000`).value('changed');
  await rig.raw.put(`${prefix}/new`).value('added');
  const { revision } = await rig.activities.etcdLockState({ scope });
  const error = await failureOf(rig.activities.restoreEtcdSnapshot({ scope, artifact: snapshot.artifact }));
  expect(failureType(error)).toBe('PreconditionFailed');
  expect(error.message).toMatch(/is in use: it is not locked, and not empty\. Lock it first/);
  expect(await rig.activities.restoreEtcdSnapshot({ scope, artifact: snapshot.artifact, dryRun: true })).toEqual({
    written: 2,
    deleted: 1,
    equal: 252,
  });
  expect((await rig.activities.etcdLockState({ scope })).revision).toBe(revision);
});

it('goes on where it was cut off', async () => {
  const { scope, prefix, snapshot } = await filled(true);
  const wanted = await content(scope);
  await rig.raw.delete().prefix(`${prefix}/`);
  await rig.fill([[`${prefix}/k/000`, 'value 0']]);
  expect(await rig.activities.restoreEtcdSnapshot({ scope, artifact: snapshot.artifact })).toMatchObject({
    written: 253,
    equal: 1,
  });
  expect(await content(scope)).toEqual(wanted);
});

it('makes no key that lasts of one that had a lease, and leaves those of now', async () => {
  const { scope, prefix } = await rig.initialised(false);
  const lease = rig.raw.lease(600, { autoKeepAlive: false });
  await lease.put(`${prefix}/felix/v2/no-region/host/n1/status`).value('1');
  const snapshot = await take(scope);
  await lease.revoke();
  const other = rig.raw.lease(600, { autoKeepAlive: false });
  await other.put(`${prefix}/felix/v2/no-region/host/n2/status`).value('2');
  await rig.raw.put(`${prefix}/new`).value('1');
  expect(await rig.activities.restoreEtcdSnapshot({ scope, artifact: snapshot.artifact })).toEqual({
    written: 0,
    deleted: 1,
    equal: 1,
    leased: 2,
  });
  expect(await rig.raw.get(`${prefix}/felix/v2/no-region/host/n1/status`).string()).toBeNull();
  expect(await rig.raw.get(`${prefix}/felix/v2/no-region/host/n2/status`).string()).toBe('2');
  await other.revoke();
});

it('refuses a snapshot with keys outside of the prefix before it writes anything', async () => {
  const { scope, snapshot } = await filled(true);
  const elsewhere = await rig.initialised(false);
  const { revision } = await rig.activities.etcdLockState({ scope });
  const error = await failureOf(
    rig.activities.restoreEtcdSnapshot({ scope: elsewhere.scope, artifact: snapshot.artifact, dryRun: true }),
  );
  expect(failureType(error)).toBe('PreconditionFailed');
  expect(error.message).toContain(`is not below ${elsewhere.prefix}/`);
  expect((await rig.activities.etcdLockState({ scope })).revision).toBe(revision);
});
