// Others who write while Calico moves, and a cluster that is in trouble: no acknowledged write is lost without a word, and a bad network
// and conflicts cost time and nothing else.
import { setTimeout as sleep } from 'node:timers/promises';
import { rollbackSignal } from '../../workflows/messages';
import { calicoGroup, CalicoWorld, clusterInformationKey, finished, seen } from '../fixtures/calico-world';
import { startTroubledProxy, type TroubledProxy } from '../fixtures/troubled-proxy';
import { gateOpen } from '../fixtures/workflow-rig';

let world: CalicoWorld;
let proxy: TroubledProxy;
beforeAll(async () => {
  world = await CalicoWorld.start({
    kubeconfig: async (text, server) => {
      proxy = await startTroubledProxy(server);
      return proxy.through(text);
    },
  });
}, 900_000);
afterAll(async () => {
  await world.stop();
  await proxy.stop();
}, 60_000);

/** Runs `write` again and again beside `body`; stops when it says false or the body has ended. */
async function beside<T>(write: (round: number) => Promise<boolean>, body: () => Promise<T>): Promise<T> {
  const ending = new AbortController();
  const writing = (async () => {
    for (let round = 0; !ending.signal.aborted && (await write(round)); round += 1) await sleep(5);
  })();
  try {
    return await body();
  } finally {
    ending.abort();
    await writing;
  }
}

it('loses no write that was acknowledged before the lock, and no field that is written while it locks', async () => {
  await world.fresh();
  const written: string[] = [];
  const handle = await world.start({ gates: { cutover: {} } });
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
      await seen(handle, () => written.length > 20 && noted > 20, 'some writes');
      await handle.executeUpdate('decide', { args: [{ gate: 'start', decision: 'approve', by: 'anna' }] });
      await seen(
        handle,
        ({ steps }) => steps.some(({ id, state }) => id === 'lock-source' && state === 'done'),
        'the lock',
      );
    }),
  );
  const locked = await world.etcd.get(clusterInformationKey).string();
  expect(locked).toContain(`round-${noted}"`);
  expect(locked).toContain('"datastoreReady":false');
  await seen(handle, gateOpen('cutover'), 'gate cutover');
  const handles = JSON.stringify(
    (await world.cluster.list(`${calicoGroup}/ipamhandles`))?.map(({ metadata }) => metadata),
  );
  expect(written.filter((name) => !handles.includes(`"${name}"`))).toEqual([]);
  await handle.signal(rollbackSignal, { by: 'anna', reason: 'seen enough' });
  expect((await finished(handle)).result).toMatchObject({ outcome: 'rolled-back' });
});

it('does not reach the unlock when somebody writes in spite of the lock, and keeps what they wrote on the way back', async () => {
  await world.fresh();
  const handle = await world.start({ gates: { start: 'auto', cutover: {}, unlock: {} } });
  await seen(handle, gateOpen('cutover'), 'gate cutover');
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
  expect(await world.etcd.get(key).string()).toBe(value);
  await world.etcd.delete().key(key);
  expect(await world.afterWayBack()).toEqual([]);
});

it('moves everything where writes are sent away, connections are cut and nodes change all the time, and goes back as well', async () => {
  await world.fresh({ handles: 20, policies: 5 });
  proxy.begin();
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
  expect(proxy.made.refused).toBeGreaterThan(2);
  expect(proxy.made.cutBefore).toBeGreaterThan(0);
  expect(proxy.made.cutAfter).toBeGreaterThan(0);
}, 240_000);
