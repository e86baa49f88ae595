// kill -9 of whatever can die while Calico moves, where it hurts most; others who write meanwhile; and a cluster that is in trouble.
// Afterwards both sides agree, key for key, and every key is accounted for: faults cost time and nothing else.
import { setTimeout as sleep } from 'node:timers/promises';
import { approveSignal, rollbackSignal, statusQuery } from '../../workflows/messages';
import { begun, calicoGroup, CalicoWorld, clusterInformationKey, finished, seen } from '../fixtures/calico-world';
import { startTroubledProxy, type TroubledProxy } from '../fixtures/troubled-proxy';
import { until } from '../fixtures/until';
import { gateOpen, type MigrationHandle } from '../fixtures/workflow-rig';

let world: CalicoWorld;
let proxy: TroubledProxy;
beforeAll(async () => {
  world = await CalicoWorld.start();
  proxy = await startTroubledProxy(world.kubernetes);
}, 900_000);
afterAll(async () => {
  await world.stop();
  await proxy.stop();
});

const handles = 60;

describe('kill -9', () => {
  beforeEach(() => world.fresh({ handles }), 120_000);

  /** What only this step asks of the cluster: held there, it cannot end before the kill. A rollout hangs by itself. */
  const asksOf: [step: string, matches: (method: string, path: string) => boolean][] = [
    ['nodes', (method, path) => method === 'PATCH' && path.startsWith('/api/v1/nodes/')],
    ['compare', (method, path) => method === 'GET' && path.includes('/ipamblocks?')],
    ['rollout', () => false],
    ['unlock', (method, path) => method !== 'GET' && path.includes('/clusterinformations/')],
  ];

  it('of the worker in the import, the nodes, the comparison, the rollout and the unlock of one migration loses nothing and imports nothing twice', async () => {
    const direct = await world.throughProxy(proxy);
    world.standIn.stall();
    // Slow enough for the first kill to fall into the middle of the import.
    const handle = await world.start({ maxWritesPerSecond: 8 });
    await world.untilImporting(handle);
    const killedAt = [`import with ${(await landed()) < handles ? 'handles missing' : 'all handles'}`];
    for (const [step, matches] of asksOf) {
      let caught: Promise<void> | undefined;
      await world.replaceWorker(() => void (caught = proxy.hold(matches)));
      if (step === 'unlock') world.standIn.resume();
      await seen(handle, begun(step), step);
      if (step !== 'rollout') await caught;
      const { steps } = await handle.query(statusQuery);
      killedAt.push(...steps.filter(({ state }) => state === 'running').map(({ id }) => id));
    }
    await world.replaceWorker(() => proxy.letGo());
    const { result, status } = await finished(handle).finally(direct);
    expect(killedAt).toEqual(['import with handles missing', 'nodes', 'compare', 'rollout', 'unlock']);
    expect(result).toMatchObject({ outcome: 'completed', differences: 0 });
    const sum = (field: 'wanted' | 'created' | 'equal'): number =>
      (status.imports ?? []).reduce((total, kind) => total + kind[field], 0);
    // The try that ended it found what the killed one had written.
    expect(sum('equal')).toBeGreaterThanOrEqual(10);
    expect(sum('equal') + sum('created')).toBe(sum('wanted'));
    expect(await world.afterMove(status)).toEqual([]);
  }, 900_000);

  it("of Calico's etcd before the backup and the look for drift, and of apiserver, its etcd and Temporal in the import loses nothing", async () => {
    world.standIn.stall();
    const handle = await world.start({ gates: { cutover: 'auto', unlock: 'auto' }, maxWritesPerSecond: 4 });
    await seen(handle, gateOpen('start'), 'gate start');
    world.calicoEtcd.kill();
    await handle.signal(approveSignal, { gate: 'start', by: 'anna' });
    await untilTriedAgain(handle, 'takeEtcdSnapshot');
    await world.calicoEtcd.restart();

    const { kubernetes, temporal } = world;
    const killedInTheMiddle: string[] = [];
    for (const [name, server, after] of [
      ['apiserver', kubernetes, 5],
      ['its etcd', kubernetes.etcd, 15],
      ['Temporal', temporal, 25],
    ] as const) {
      await world.untilImporting(handle, after);
      if ((await landed()) < handles) killedInTheMiddle.push(name);
      server.kill();
      await server.restart();
    }
    expect(killedInTheMiddle).toEqual(['apiserver', 'its etcd', 'Temporal']);

    await seen(handle, begun('rollout'), 'the rollout');
    world.calicoEtcd.kill();
    world.standIn.resume();
    await untilTriedAgain(handle, 'findEtcdDrift');
    await world.calicoEtcd.restart();
    const { result, status } = await finished(handle);
    expect(result).toMatchObject({ outcome: 'completed', differences: 0 });
    expect(await world.afterMove(status)).toEqual([]);
  }, 900_000);

  it('of the worker on the way back leaves both sides as they were', async () => {
    const handle = await world.start({ gates: { start: 'auto', cutover: {} } });
    await seen(handle, gateOpen('cutover'), 'gate cutover');
    await handle.signal(rollbackSignal, { by: 'anna', reason: 'trying the way back' });
    await seen(handle, ({ steps }) => steps.some(({ state }) => state === 'undoing'), 'the first undo', {
      everyMs: 50,
    });
    await world.replaceWorker();
    expect((await finished(handle)).result).toMatchObject({ outcome: 'rolled-back' });
    expect(await world.afterWayBack()).toEqual([]);
  }, 300_000);

  /** Handles on the cluster: they are among the last that the import writes. */
  async function landed(): Promise<number> {
    return ((await world.cluster.list(`${calicoGroup}/ipamhandles`)) ?? []).length;
  }

  /** The activity has failed and is tried again. */
  async function untilTriedAgain(handle: MigrationHandle, activity: string): Promise<void> {
    await until(
      `${activity} is tried again`,
      async () => {
        const { pendingActivities } = (await handle.describe()).raw;
        return (pendingActivities ?? []).some(
          ({ activityType, attempt }) => activityType?.name === activity && (attempt ?? 0) > 1,
        );
      },
      300_000,
    );
  }
});

/** Runs `write` again and again beside `body`; stops when it says false or the body has ended. */
async function beside<T>(write: (round: number) => Promise<boolean>, body: () => Promise<T>): Promise<T> {
  const ending = new AbortController();
  const writing = (async () => {
    for (let round = 0; !ending.signal.aborted && (await write(round)); round += 1) await sleep(20);
  })();
  try {
    return await body();
  } finally {
    ending.abort();
    await writing;
  }
}

it('loses no write of before the lock, no field that is written while it locks, and does not unlock when somebody writes in spite of it', async () => {
  await world.fresh();
  const written: string[] = [];
  const handle = await world.start({ gates: { cutover: {}, unlock: {} } });
  await seen(handle, gateOpen('start'), 'gate start');
  // As Calico's components write: only while the datastore says that it is ready.
  const allocate = async (round: number): Promise<boolean> => {
    if ((await world.etcdIsReady()) !== true) return false;
    const name = `k8s-pod-network.late-${round}`;
    await world.etcd.put(`/calico/ipam/v2/handle/${name}`).value('{"block":{"10.64.0.0/26":1},"deleted":false}');
    written.push(name);
    return true;
  };
  let noted = 0;
  const note = async (round: number): Promise<boolean> => {
    const found = await world.etcd.get(clusterInformationKey).exec();
    const [entry] = found.kvs;
    const text = entry?.value.toString() ?? '';
    if (!text.includes('"datastoreReady":true')) return false;
    const next = text.replace(/"clusterType":"[^"]*"/, `"clusterType":"k8s,bgp,round-${round}"`);
    const { succeeded } = await world.etcd
      .if(clusterInformationKey, 'Mod', '==', entry?.mod_revision ?? '')
      .then(world.etcd.put(clusterInformationKey).value(next))
      .commit();
    if (succeeded) noted = round;
    return true;
  };
  await beside(allocate, () =>
    beside(note, async () => {
      await until('some writes', () => written.length > 20 && noted > 20, 60_000);
      await handle.executeUpdate('decide', { args: [{ gate: 'start', decision: 'approve', by: 'anna' }] });
      await seen(
        handle,
        ({ steps }) => steps.some(({ id, state }) => id === 'lock-source' && state === 'done'),
        'the lock',
      );
    }),
  );
  const locked = (await world.etcd.get(clusterInformationKey).string()) ?? '';
  expect(locked).toContain(`round-${noted}"`);
  expect(locked).toContain('"datastoreReady":false');
  await seen(handle, gateOpen('cutover'), 'gate cutover');
  const there = JSON.stringify(
    (await world.cluster.list(`${calicoGroup}/ipamhandles`))?.map(({ metadata }) => metadata),
  );
  expect(written.filter((name) => !there.includes(`"${name}"`))).toEqual([]);

  const key = '/calico/resources/v3/projectcalico.org/globalnetworksets/in-spite';
  const value =
    '{"kind":"GlobalNetworkSet","apiVersion":"projectcalico.org/v3","metadata":{"name":"in-spite"},"spec":{"nets":["192.0.2.0/24"]}}';
  await world.etcd.put(key).value(value);
  await handle.executeUpdate('decide', { args: [{ gate: 'cutover', decision: 'approve', by: 'anna' }] });
  const blocked = await seen(handle, (status) => status.blocked?.step === 'drift', 'the look for drift');
  expect(blocked.blocked?.failure).toContain(`${key} added`);
  expect(blocked.gates.some(({ name }) => name === 'unlock')).toBe(false);
  await handle.signal(rollbackSignal, { by: 'anna', reason: 'somebody wrote' });
  expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });

  // On the way back everything stays that somebody wrote, and the rest is as it was.
  expect(await world.etcd.get(key).string()).toBe(value);
  expect(await world.etcd.get(clusterInformationKey).string()).toBe(locked.replace('Ready":false', 'Ready":true'));
  const late = (name: string): string => `/calico/ipam/v2/handle/${name} is new`;
  const differences = await world.afterWayBack();
  expect(differences.filter((line) => !line.startsWith(clusterInformationKey)).sort()).toEqual(
    [`${key} is new`, ...written.map(late)].sort(),
  );
}, 300_000);

it('moves everything where writes are sent away, connections are cut and nodes change all the time, and goes back as well', async () => {
  await world.fresh({ handles: 20, policies: 5 });
  const direct = await world.throughProxy(proxy);
  const storm = async (round: number): Promise<boolean> => {
    const labels = { round: String(round) };
    await Promise.all(
      [...world.before.cluster.keys()]
        .flatMap((what) => /^node "(.*)"$/.exec(what)?.[1] ?? [])
        .map((name) =>
          world.cluster.ask('PATCH', `/api/v1/nodes/${name}`, { metadata: { labels } }, 'application/merge-patch+json'),
        ),
    );
    return true;
  };
  try {
    proxy.begin();
    await beside(storm, async () => {
      const tried = await world.start({ gates: { start: 'auto', cutover: 'auto', unlock: {} } });
      await seen(tried, gateOpen('unlock'), 'gate unlock');
      await tried.signal(rollbackSignal, { by: 'anna', reason: 'trying the way back' });
      await seen(tried, ({ outcome }) => outcome !== undefined, 'the end');
      expect(await tried.result()).toMatchObject({ outcome: 'rolled-back' });
      expect(await world.afterWayBack()).toEqual([]);
      const { result, status } = await finished(await world.start());
      expect(result).toMatchObject({ outcome: 'completed', differences: 0 });
      expect(await world.afterMove(status)).toEqual([]);
    });
  } finally {
    await direct();
  }
  expect(proxy.made.refused).toBeGreaterThan(2);
  expect(proxy.made.cutBefore).toBeGreaterThan(0);
  expect(proxy.made.cutAfter).toBeGreaterThan(0);
}, 600_000);
