import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { MockActivityEnvironment } from '@temporalio/testing';
import { failureType } from '../../../activities/errors';
import type { EtcdSnapshot } from '../../../activities/calico/etcd';
import { isCompacted } from '../../../activities/calico/etcd/errors';
import { EtcdRig, failureOf } from '../../fixtures/etcd-rig';

let rig: EtcdRig;
beforeAll(async () => {
  rig = await EtcdRig.start();
});
afterAll(() => rig.stop());

const name = 'etcd.jsonl';

it('keeps every key with its bytes and revisions, at one revision, and nothing of the neighbours', async () => {
  const { scope, prefix } = await rig.initialised(true);
  const lease = rig.raw.lease(600, { autoKeepAlive: false });
  await lease.put(`${prefix}/felix/v2/no-region/host/n1/status`).value('{"uptime":1}');
  await rig.raw.put(`${prefix}/ipam/v2/host/n1/ipv4/block/10.0.0.0-26`).value('');
  await rig.raw.put(`${prefix}/bytes`).value(Buffer.of(0xff, 0x00, 0xfe));
  await rig.raw.put(`${prefix}/bom`).value('\u{feff}a\u2028b\r\nc');
  for (const beside of [prefix, `${prefix}-other/a`, `${prefix}0`, prefix.slice(0, -1), `${prefix}.`]) {
    await rig.raw.put(beside).value('not ours');
  }
  const snapshot = await rig.activities.takeEtcdSnapshot({ scope, name });
  expect(snapshot).toMatchObject({ keys: 5, leased: 1, revision: expect.stringMatching(/^\d+$/) as string });
  const entries = await rig.entries(snapshot.artifact);
  expect(entries.map(({ key }) => key.slice(prefix.length))).toEqual([
    '/bom',
    '/bytes',
    '/felix/v2/no-region/host/n1/status',
    '/ipam/v2/host/n1/ipv4/block/10.0.0.0-26',
    '/resources/v3/projectcalico.org/clusterinformations/default',
  ]);
  expect(entries[0]).toMatchObject({ value: '\u{feff}a\u2028b\r\nc' });
  expect(entries[1]).toMatchObject({ value: '', valueBase64: '/wD+' });
  expect(entries[2]).toMatchObject({ leased: true });
  expect(entries[3]?.leased).toBeUndefined();
  const { kvs } = await rig.raw.get(`${prefix}/bytes`).exec();
  expect(entries[1]).toMatchObject({ modRevision: kvs[0]?.mod_revision, createRevision: kvs[0]?.create_revision });
  const { evidence } = await rig.activities.verifyEtcdSnapshot({ scope, snapshot });
  expect(evidence[0]).toContain(`5 keys at etcd revision ${snapshot.revision}`);
  expect(evidence[1]).toContain(snapshot.artifact.sha256);
  await lease.revoke();
});

it('takes an empty datastore as one without keys', async () => {
  const scope = rig.scope();
  const snapshot = await rig.activities.takeEtcdSnapshot({ scope, name });
  expect(snapshot).toMatchObject({ keys: 0, bytes: 0 });
  await rig.activities.verifyEtcdSnapshot({ scope, snapshot });
});

it('reads 5,000 handles, values of 1 MB among small ones, and far more than one gRPC message holds', async () => {
  const { scope, prefix } = await rig.initialised(true);
  const handle = (n: number): [string, string] => [
    `${prefix}/ipam/v2/handle/k8s-pod-network.${String(n).padStart(64, '0')}`,
    JSON.stringify({ handleID: `k8s-pod-network.${n}`, block: { '10.0.0.0/26': 1 }, note: 'x'.repeat(500) }),
  ];
  await rig.fill(Array.from({ length: 5_000 }, (_, n) => handle(n)));
  const megabyte = 1_000_000;
  // After many small values a page would take dozens of these: 24 MB, beyond what the client accepts.
  await rig.fill(
    Array.from({ length: 24 }, (_, n): [string, string] => [
      `${prefix}/large/${String(n).padStart(2, '0')}`,
      'y'.repeat(megabyte + n),
    ]),
  );
  const environment = new MockActivityEnvironment();
  const beats: unknown[] = [];
  environment.on('heartbeat', (details) => beats.push(details));
  const take = (): Promise<EtcdSnapshot> => rig.activities.takeEtcdSnapshot({ scope, name });
  const snapshot = await environment.run<[], EtcdSnapshot, typeof take>(take);
  expect(snapshot.keys).toBe(5_025);
  expect(snapshot.bytes).toBeGreaterThan(24 * megabyte + 3_000_000);
  expect(beats.at(-1)).toMatchObject({ done: 5_025, total: 5_025, etaMs: 0, perSecond: expect.any(Number) as number });
  const entries = await rig.entries(snapshot.artifact);
  expect(new Set(entries.map(({ key }) => key)).size).toBe(5_025);
  expect(entries.filter(({ key }) => key.includes('/large/')).map(({ value }) => value.length)).toEqual(
    Array.from({ length: 24 }, (_, n) => megabyte + n),
  );
  await rig.activities.verifyEtcdSnapshot({ scope, snapshot });
});

it('is of one revision, while somebody writes all the time', async () => {
  const { scope, prefix } = await rig.initialised(true);
  await rig.fill(
    Array.from({ length: 3_000 }, (_, n): [string, string] => [`${prefix}/k/${String(n).padStart(5, '0')}`, '0']),
  );
  let stop = false;
  let generation = 0;
  // First and last key change together, in one transaction: a snapshot that mixes revisions shows it.
  const writer = (async () => {
    while (!stop) {
      generation += 1;
      await rig.fill([
        [`${prefix}/k/00000`, String(generation)],
        [`${prefix}/k/02999`, String(generation)],
        [`${prefix}/k/9-${generation}`, 'new'],
      ]);
    }
  })();
  const snapshots = [];
  for (let round = 0; round < 5; round += 1) snapshots.push(await rig.activities.takeEtcdSnapshot({ scope, name }));
  stop = true;
  await writer;
  expect(generation).toBeGreaterThan(20);
  for (const snapshot of snapshots) {
    const entries = await rig.entries(snapshot.artifact);
    const at = (key: string): string | undefined => entries.find((entry) => entry.key.endsWith(key))?.value;
    expect(at('/k/00000')).toBe(at('/k/02999'));
    for (const { modRevision } of entries) expect(BigInt(modRevision)).toBeLessThanOrEqual(BigInt(snapshot.revision));
    await rig.activities.verifyEtcdSnapshot({ scope, snapshot });
  }
});

it('says that a compacted revision can no longer be compared, and is no pass', async () => {
  const { scope, prefix } = await rig.initialised(true);
  const snapshot = await rig.activities.takeEtcdSnapshot({ scope, name });
  await rig.compact(`${prefix}/later`);
  const error = await failureOf(rig.activities.verifyEtcdSnapshot({ scope, snapshot }));
  expect(failureType(error)).toBe('PreconditionFailed');
  expect(isCompacted(error)).toBe(true);
  expect(error.message).toMatch(/only the digest of the file was checked\. Take the snapshot again\.$/);
});

it('begins anew when its revision is compacted away in the middle, and gives up when that happens always', async () => {
  const { scope, prefix } = await rig.initialised(true);
  await rig.fill(Array.from({ length: 2_000 }, (_, n): [string, string] => [`${prefix}/k/${n}`, 'x'.repeat(2_000)]));
  let compactions = 0;
  const once = rig.interrupting(async () => {
    compactions += 1;
    await rig.compact(`${prefix}/later`);
  });
  const snapshot = await once.takeEtcdSnapshot({ scope, name });
  expect(compactions).toBe(1);
  // The key that the compaction came with is in: it was read at a later revision.
  expect(snapshot.keys).toBe(2_002);
  await rig.activities.verifyEtcdSnapshot({ scope, snapshot });
  const always = rig.interrupting(() => rig.compact(`${prefix}/later`), 'always');
  const error = await failureOf(always.takeEtcdSnapshot({ scope, name }));
  expect(isCompacted(error)).toBe(true);
  expect(error.message).toContain('auto-compaction-retention');
});

it('goes on at the same revision after etcd was killed in the middle and came back', async () => {
  const { scope, prefix } = await rig.initialised(true);
  await rig.fill(Array.from({ length: 2_000 }, (_, n): [string, string] => [`${prefix}/k/${n}`, 'x'.repeat(2_000)]));
  let revisionBefore = '';
  const activities = rig.interrupting(async () => {
    ({ revision: revisionBefore } = await rig.activities.etcdLockState({ scope }));
    await rig.raw.put(`${prefix}/k/0`).value('written after the pin');
    rig.server.kill();
    void rig.server.restart();
  });
  const snapshot = await activities.takeEtcdSnapshot({ scope, name });
  expect(snapshot).toMatchObject({ keys: 2_001, revision: revisionBefore });
  expect((await rig.entries(snapshot.artifact)).every(({ value }) => value !== 'written after the pin')).toBe(true);
  await rig.activities.verifyEtcdSnapshot({ scope, snapshot });
});

it('stops between two pages when it is cancelled', async () => {
  const { scope, prefix } = await rig.initialised(true);
  await rig.fill(Array.from({ length: 2_000 }, (_, n): [string, string] => [`${prefix}/k/${n}`, 'x'.repeat(3_000)]));
  const environment = new MockActivityEnvironment();
  let bytes = 0;
  const activities = rig.interrupting(async () => {
    bytes += 1;
    environment.cancel();
    return Promise.resolve();
  });
  await expect(environment.run(() => activities.takeEtcdSnapshot({ scope, name }))).rejects.toThrow(/abort|cancel/i);
  expect(bytes).toBe(1);
});

it('finds a snapshot that does not hold what etcd held', async () => {
  const { scope, prefix } = await rig.initialised(true);
  await rig.fill([
    [`${prefix}/a`, '1'],
    [`${prefix}/b`, '2'],
  ]);
  const snapshot = await rig.activities.takeEtcdSnapshot({ scope, name });
  await rig.raw.put(`${prefix}/b`).value('3');
  await rig.raw.put(`${prefix}/c`).value('4');
  await rig.raw.delete().key(`${prefix}/a`);
  const later = String(BigInt(snapshot.revision) + 3n);
  const error = await failureOf(
    rig.activities.verifyEtcdSnapshot({ scope, snapshot: { ...snapshot, revision: later } }),
  );
  expect(failureType(error)).toBe('VerificationMismatch');
  expect(error.message).toContain('3 keys differ, 1 of 3 are equal');
  expect(error.message).toContain(
    `${prefix}/a (not in etcd), ${prefix}/b (different), ${prefix}/c (missing in the snapshot)`,
  );
});

it('refuses an artifact that was changed, and one whose lines are no entries or out of order', async () => {
  const { scope, prefix } = await rig.initialised(true);
  await rig.fill([[`${prefix}/a`, '1']]);
  const snapshot = await rig.activities.takeEtcdSnapshot({ scope, name });
  const path = fileURLToPath(snapshot.artifact.url);
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace('"1"', '"2"'));
  expect(failureType(await failureOf(rig.activities.verifyEtcdSnapshot({ scope, snapshot })))).toBe(
    'VerificationMismatch',
  );
  for (const [changed, why] of [
    [text.split('\n').reverse().join('\n').trimStart(), 'out of order'],
    [`${text.trim().slice(0, -1)}\n`, 'no entry of a snapshot'],
  ] as const) {
    const artifact = await rig.store(scope.migration, changed);
    const error = await failureOf(
      rig.activities.findEtcdDrift({ scope, snapshot: { ...snapshot, revision: '1', artifact } }),
    );
    expect(error.message).toContain(why);
  }
});
