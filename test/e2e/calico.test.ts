// The Calico migration on real servers, by a worker process that has only the rights of rbac.yaml: moved as the README says, refused with
// names, rolled back from every phase. The judge reads both sides by itself.
import { Cluster } from '../../examples/calico/cluster';
import { mendSampleDatastore, type Spoilt } from '../../examples/calico/sample-datastore';
import { workerAccount } from '../../examples/calico/seed-cluster';
import { approveSignal, rejectSignal, rollbackSignal, statusQuery } from '../../workflows/messages';
import { installDefinitions } from '../fixtures/calico-fresh';
import { begun, calicoGroup, CalicoWorld, finished, reportOf, seen } from '../fixtures/calico-world';
import { gateOpen, type MigrationHandle } from '../fixtures/workflow-rig';

let world: CalicoWorld;
beforeAll(async () => {
  world = await CalicoWorld.start();
}, 900_000);
afterAll(() => world.stop(), 60_000);

const rollBack = (handle: MigrationHandle, words?: string): Promise<void> =>
  handle.signal(rollbackSignal, { by: 'anna', reason: 'trying the way back', ...(words ? { words } : {}) });

const merge = 'application/merge-patch+json';

describe('this world', () => {
  beforeAll(() => world.fresh());

  it('has a judge that sees what is not moved, what is new and what is changed', async () => {
    expect(await world.afterMove({})).not.toEqual([]);
    await world.etcd.put('/calico/ipam/v2/handle/new').value('{}');
    const annotations = { 'projectcalico.org/IPv4Address': null };
    const [node = ''] = [...world.before.cluster.keys()].flatMap((what) => /^node "(.*)"$/.exec(what)?.[1] ?? []);
    await world.cluster.change('PATCH', `/api/v1/nodes/${node}`, { metadata: { annotations } }, merge);
    const workload = '/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node';
    await world.cluster.change('PATCH', workload, { spec: { minReadySeconds: 7 } }, merge);
    await installDefinitions(world.cluster);
    const found = (await world.afterWayBack()).join('\n');
    for (const what of ['handle/new is new', node, 'calico-node', 'definition "ippools']) expect(found).toContain(what);
  });

  it('has a worker that may do what a migration needs, and nothing else', async () => {
    const account = new Cluster(world.kubernetes.kubeconfig(workerAccount.name));
    expect((await account.ask('GET', '/api/v1/nodes')).status).toBe(200);
    for (const [method, path] of [
      ['GET', '/api/v1/secrets'],
      ['DELETE', '/api/v1/nodes/any'],
      ['DELETE', '/api/v1/namespaces/default'],
      ['DELETE', '/apis/apps/v1/namespaces/kube-system/daemonsets/other'],
    ] as const)
      expect((await account.ask(method, path)).status).toBe(403);
    account.close();
  });
});

describe('a rollback', () => {
  beforeAll(() => world.fresh());

  it.each(['start', 'cutover', 'unlock'] as const)(
    'by rejecting gate %s leaves both sides as they were',
    async (gate) => {
      const handle = await world.start({ gates: { start: 'auto', cutover: 'auto', unlock: 'auto', [gate]: {} } });
      await seen(handle, gateOpen(gate), `gate ${gate}`);
      await handle.signal(rejectSignal, { gate, by: 'anna' });
      expect((await finished(handle)).result).toMatchObject({ outcome: 'rejected' });
      expect(await world.afterWayBack()).toEqual([]);
    },
  );

  it.each(['lock-source', 'drain', 'inspect', 'nodes', 'compare'])(
    'during step %s leaves both sides as they were',
    async (step) => {
      const handle = await world.start({ ...(step === 'drain' ? { drain: '5m' } : {}) });
      await seen(handle, begun(step), step);
      await rollBack(handle);
      expect((await finished(handle)).result).toMatchObject({ outcome: 'rolled-back' });
      expect(await world.afterWayBack()).toEqual([]);
    },
  );

  it('in the middle of the import leaves both sides as they were', async () => {
    const handle = await world.start({ maxWritesPerSecond: 3 });
    await world.untilImporting(handle, 3);
    await rollBack(handle);
    const { result, status } = await finished(handle);
    expect(result).toMatchObject({ outcome: 'rolled-back' });
    expect(status.steps.find(({ id }) => id === 'import')).not.toMatchObject({ state: 'done' });
    expect(await world.afterWayBack()).toEqual([]);
  });

  it('while the rollout hangs leaves both sides as they were', async () => {
    world.standIn.stall();
    const handle = await world.start();
    await seen(handle, begun('rollout'), 'the rollout');
    await rollBack(handle);
    await seen(handle, ({ phase }) => phase === 'rolling-back', 'the way back');
    world.standIn.resume();
    expect((await finished(handle)).result).toMatchObject({ outcome: 'rolled-back' });
    expect(await world.afterWayBack()).toEqual([]);
  });

  it('by cancelling the workflow in the middle of the import leaves both sides as they were', async () => {
    const handle = await world.start({ maxWritesPerSecond: 3 });
    await world.untilImporting(handle, 3);
    await handle.cancel();
    await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
    expect(await world.afterWayBack()).toEqual([]);
  });

  it('comes by itself when the lock has lasted too long', async () => {
    const handle = await world.start({ maxLocked: '12s', gates: { start: 'auto', cutover: {} } });
    const waiting = await seen(handle, gateOpen('cutover'), 'gate cutover');
    expect(waiting.downtime?.endedAt).toBeUndefined();
    await seen(handle, ({ outcome }) => outcome !== undefined, 'the end');
    expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
    expect(reportOf(await handle.result())).toContain('under the lock have passed');
    expect(await world.afterWayBack()).toEqual([]);
  });

  it('after the unlock is refused without the words that name the loss, and with them leaves both sides as they were', async () => {
    const handle = await world.start({ monitor: '10m' });
    await seen(handle, ({ phase }) => phase === 'monitor', 'the watch');
    const path = `${calicoGroup}/ippools/default-ipv4-ippool`;
    await world.cluster.change('PATCH', path, { spec: { natOutgoing: false } }, merge);
    await world.cluster.change('POST', `${calicoGroup}/globalnetworksets`, {
      apiVersion: 'crd.projectcalico.org/v1',
      kind: 'GlobalNetworkSet',
      metadata: { name: 'after-the-unlock' },
      spec: { nets: ['192.0.2.0/24'] },
    });
    await rollBack(handle);
    const asked = await seen(handle, ({ loss }) => loss !== undefined, 'the words');
    expect(asked).toMatchObject({ phase: 'monitor', loss: { words: 'lose 2 changes' } });
    expect(asked.loss?.detail.join()).toContain('after-the-unlock');
    await rollBack(handle, 'lose 1 change');
    await seen(handle, ({ refused }) => refused.length >= 2, 'the second refusal');
    await rollBack(handle, asked.loss?.words);
    expect((await finished(handle)).result).toMatchObject({ outcome: 'rolled-back' });
    expect(await world.afterWayBack()).toEqual([]);
  });
});

describe('a migration', () => {
  it('approved gate by gate moves everything, locks etcd for good, and reports its numbers', async () => {
    const { entries } = await world.fresh();
    const handle = await world.start({ gates: {} });
    const { result, status, gates } = await finished(handle);
    expect(gates).toEqual(['start', 'cutover', 'unlock', 'accept', 'retire-source']);
    expect(result).toMatchObject({ outcome: 'completed', differences: 0 });
    expect(await world.afterMove(status)).toEqual([]);
    const report = reportOf(result);
    expect(report).toContain(`${entries.length} keys`);
    for (const { kind } of status.accounting?.kinds ?? []) expect(report).toContain(kind);
    expect(status.steps.filter(({ state }) => state !== 'done')).toEqual([]);
  });

  it('without manifests asks people to apply them, and moves everything', async () => {
    await world.fresh();
    await installDefinitions(world.cluster);
    const handle = await world.start({
      manifests: undefined,
      gates: { start: 'auto', cutover: 'auto', unlock: 'auto' },
    });
    const { result, status, gates } = await finished(handle);
    expect(gates).toEqual(['apply-manifest', 'accept', 'retire-source']);
    expect(result).toMatchObject({ outcome: 'completed' });
    expect(await world.afterMove(status)).toEqual([]);
  });

  const spoilt: Spoilt[] = [
    'user-profile',
    'unparseable',
    'handle-with-slash',
    'no-utf8',
    'unknown-kind',
    'node-without-kubernetes',
  ];

  it('is refused before anything is changed where there is what no cluster can hold, and every key is named', async () => {
    await world.fresh({ spoilt });
    const handle = await world.start();
    const blocked = await seen(handle, (status) => status.blocked?.step === 'preflight', 'the refusal');
    const failed = JSON.stringify(blocked.checks?.filter(({ outcome }) => outcome === 'fail'));
    for (const name of [
      'profiles/quarantine',
      'default.half-written',
      'odd chars',
      'binary',
      'gadgets/one',
      'bare-metal-7',
    ])
      expect(failed).toContain(name);
    expect(await world.afterWayBack()).toEqual([]);
    await rollBack(handle);
    expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
    expect(await world.afterWayBack()).toEqual([]);
  });

  it('moves the rest and names what it could not move in the report where the plan says so', async () => {
    await world.fresh({ spoilt });
    const handle = await world.start({ unmigratable: 'report' });
    const { result, status } = await finished(handle);
    expect(result).toMatchObject({ outcome: 'completed' });
    expect(status.accounting?.kinds.reduce((sum, { refused }) => sum + refused, 0)).toBe(spoilt.length);
    const report = reportOf(result);
    for (const name of [
      'profiles/quarantine',
      'default.half-written',
      'odd chars',
      'binary',
      'gadgets/one',
      'bare-metal-7',
    ])
      expect(report).toContain(name);
    await mendSampleDatastore(world.etcd, spoilt);
    const unrefused =
      status.accounting?.kinds.map((kind) => ({ ...kind, refused: 0, source: kind.source - kind.refused })) ?? [];
    expect(await world.afterMove({ accounting: { ...status.accounting!, kinds: unrefused } })).toEqual([]);
  });

  it('refuses an approval that comes before its gate, and says so', async () => {
    await world.fresh();
    const handle = await world.start({ gates: {} });
    await seen(handle, gateOpen('start'), 'gate start');
    await handle.signal(approveSignal, { gate: 'unlock', by: 'anna' });
    const { refused } = await seen(handle, (status) => status.refused.length > 0, 'the refusal');
    expect(refused[0]).toMatchObject({ name: 'approve', by: 'anna' });
    await rollBack(handle);
    expect(await handle.result()).toMatchObject({ outcome: 'rolled-back' });
    expect((await handle.query(statusQuery)).gates.map(({ name }) => name)).toEqual(['start']);
    expect(await world.afterWayBack()).toEqual([]);
  });
});
