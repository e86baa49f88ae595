import { MockActivityEnvironment } from '@temporalio/testing';
import { failureType } from '../../../activities/errors';
import { clusterInformationText, EtcdRig, failureOf } from '../../fixtures/etcd-rig';

let rig: EtcdRig;
beforeAll(async () => {
  rig = await EtcdRig.start();
});
afterAll(() => rig.stop());

const text = (key: string): Promise<string | null> => rig.raw.get(key).string();

it('tells missing, unset, ready and locked apart, with version and GUID', async () => {
  const { activities } = rig;
  expect(await activities.etcdLockState({ scope: rig.scope() })).toMatchObject({ state: 'missing' });
  for (const [flag, state] of [[undefined, 'unset'] as const, [true, 'ready'] as const, [false, 'locked'] as const]) {
    const { scope } = await rig.initialised(flag);
    expect(await activities.etcdLockState({ scope })).toEqual({
      state,
      calicoVersion: 'v3.30.3',
      clusterGuid: '0123456789abcdef0123456789abcdef',
      revision: expect.stringMatching(/^\d+$/) as string,
    });
  }
});

it('locks and unlocks by the flag alone: every other byte of ClusterInformation stays', async () => {
  const { scope, key } = await rig.initialised(true);
  const { before, revision } = await rig.activities.lockEtcd({ scope });
  expect(before).toBe('ready');
  expect(await text(key)).toBe(clusterInformationText(false));
  expect((await rig.raw.get(key).exec()).kvs[0]?.mod_revision).toBe(revision);
  expect(await rig.activities.unlockEtcd({ scope, to: before })).toEqual({ state: 'ready', changed: true });
  expect(await text(key)).toBe(clusterInformationText(true));
});

it('takes a flag away again that was not there before the lock', async () => {
  const { scope, key } = await rig.initialised();
  expect((await rig.activities.lockEtcd({ scope })).before).toBe('unset');
  expect((await rig.activities.etcdLockState({ scope })).state).toBe('locked');
  expect(await rig.activities.unlockEtcd({ scope, to: 'unset' })).toEqual({ state: 'unset', changed: true });
  expect(await text(key)).toBe(clusterInformationText());
});

it('writes nothing when it is locked already, and leaves a lock that was not ours', async () => {
  const { scope, key } = await rig.initialised(false);
  const { mod_revision } = (await rig.raw.get(key).exec()).kvs[0] ?? {};
  expect(await rig.activities.lockEtcd({ scope })).toEqual({ before: 'locked', revision: mod_revision });
  expect(await rig.activities.unlockEtcd({ scope, to: 'locked' })).toEqual({ state: 'locked', changed: false });
  expect((await rig.raw.get(key).exec()).kvs[0]?.mod_revision).toBe(mod_revision);
});

it('unlocks twice without a second write', async () => {
  const { scope } = await rig.initialised(false);
  expect(await rig.activities.unlockEtcd({ scope, to: 'ready' })).toEqual({ state: 'ready', changed: true });
  expect(await rig.activities.unlockEtcd({ scope, to: 'ready' })).toEqual({ state: 'ready', changed: false });
  expect(await rig.activities.unlockEtcd({ scope, to: 'unset' })).toEqual({ state: 'ready', changed: false });
});

it('refuses to lock or unlock what has no ClusterInformation, and makes none', async () => {
  const scope = rig.scope();
  for (const refused of [rig.activities.lockEtcd({ scope }), rig.activities.unlockEtcd({ scope, to: 'ready' })]) {
    const error = await failureOf(refused);
    expect(failureType(error)).toBe('PreconditionFailed');
    expect(error.message).toContain(
      `${scope.source.prefix}/resources/v3/projectcalico.org/clusterinformations/default`,
    );
    expect(error.message).toMatch(/Correct endpoints and prefix .*\.$/);
  }
  expect(await rig.raw.getAll().prefix(`${scope.source.prefix}/`).count()).toBe(0);
});

it.each([
  ['no JSON', 'it is no JSON'],
  ['[]', 'it is no JSON object'],
  ['{"spec":"locked"}', 'its spec is no object'],
  ['{"spec":{"datastoreReady":"no"}}', 'neither true nor false'],
])('refuses a ClusterInformation that is %s, and leaves it', async (value, why) => {
  const { scope, key } = await rig.initialised();
  await rig.raw.put(key).value(value);
  const error = await failureOf(rig.activities.lockEtcd({ scope }));
  expect(failureType(error)).toBe('PreconditionFailed');
  expect(error.message).toContain(why);
  expect(await text(key)).toBe(value);
});

it('locks a ClusterInformation without a spec', async () => {
  const { scope, key } = await rig.initialised();
  await rig.raw.put(key).value('{"kind":"ClusterInformation"}');
  expect((await rig.activities.lockEtcd({ scope })).before).toBe('unset');
  expect(JSON.parse((await text(key)) ?? '')).toEqual({ kind: 'ClusterInformation', spec: { datastoreReady: false } });
});

it('loses no update of a writer that works on ClusterInformation all the time', async () => {
  const { scope, key } = await rig.initialised(true);
  let stop = false;
  let written = 0;
  let lost = 0;
  // As calico-node does: read, change one field, compare and swap.
  const writer = (async () => {
    while (!stop) {
      const { kvs } = await rig.raw.get(key).exec();
      const [entry] = kvs;
      if (!entry) throw new Error('ClusterInformation is gone.');
      const next = entry.value
        .toString()
        .replace(/"serial":\d+/, `"serial":${1_800_000_000_000_000_001n + BigInt(written + 1)}`);
      const { succeeded } = await rig.raw
        .if(key, 'Mod', '==', entry.mod_revision)
        .then(rig.raw.put(key).value(next))
        .commit();
      if (succeeded) written += 1;
      else lost += 1;
    }
  })();
  for (let round = 0; round < 20; round += 1) {
    await rig.activities.lockEtcd({ scope });
    expect((await rig.activities.etcdLockState({ scope })).state).toBe('locked');
    await rig.activities.unlockEtcd({ scope, to: 'ready' });
    expect((await rig.activities.etcdLockState({ scope })).state).toBe('ready');
  }
  stop = true;
  await writer;
  expect(written).toBeGreaterThan(20);
  // They did meet: each of our forty writes made at least some of the writer's fail, or the other way round.
  expect(lost).toBeGreaterThan(0);
  const wanted = clusterInformationText(true).replace(
    /"serial":\d+/,
    `"serial":${1_800_000_000_000_000_001n + BigInt(written)}`,
  );
  expect(await text(key)).toBe(wanted);
});

it('does not take its own lock for one that was there, when the answer of the first try was lost', async () => {
  const { scope } = await rig.initialised(true);
  await rig.activities.lockEtcd({ scope });
  expect((await rig.activities.lockEtcd({ scope, before: 'ready' })).before).toBe('ready');
  const second = new MockActivityEnvironment({ attempt: 2, heartbeatDetails: { before: 'ready' } });
  expect(await second.run(() => rig.activities.lockEtcd({ scope }))).toMatchObject({ before: 'ready' });
});

it('sends what it found with a heartbeat before it writes', async () => {
  const { scope } = await rig.initialised(true);
  const environment = new MockActivityEnvironment();
  const beats: unknown[] = [];
  environment.on('heartbeat', (details) => beats.push(details));
  await environment.run(() => rig.activities.lockEtcd({ scope }));
  expect(beats[0]).toEqual({ before: 'ready' });
});
