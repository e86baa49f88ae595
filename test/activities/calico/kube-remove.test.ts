import { setTimeout as sleep } from 'node:timers/promises';
import { MockActivityEnvironment } from '@temporalio/testing';
import { failureType } from '../../../activities/errors';
import type { ArtifactReference } from '../../../activities/artifacts/store';
import type { JsonObject } from '../../../activities/calico/json';
import type { Removal } from '../../../activities/calico/kubernetes/remove';
import type { CreatedObject } from '../../../journal/types';
import { CalicoTarget, prefixed, type Exported } from '../../fixtures/calico-target';
import { until } from '../../fixtures/until';

let target: CalicoTarget;
let exported: Exported;
beforeAll(async () => {
  target = await CalicoTarget.start();
  exported = await target.exported();
});
afterAll(() => target.stop());
beforeEach(() => target.clean());

const inspect = async (): Promise<ArtifactReference> =>
  (await target.activities.inspectKubernetes({ scope: target.scope })).inventory;
const remove = (inventory: ArtifactReference, more: object = {}): Promise<Removal> =>
  target.activities.removeImported({
    scope: target.scope,
    file: exported.file,
    encoding: prefixed,
    inventory,
    ...more,
  });
const restoreNodes = (inventory: ArtifactReference) =>
  target.activities.restoreNodeAnnotations({ scope: target.scope, inventory });
const custom = async (): Promise<JsonObject[]> => (await target.present()).filter(({ kind }) => kind !== 'Node');

it('takes back an import into an empty cluster: nothing of it is left', async () => {
  const inventory = await inspect();
  await target.land(exported.data);
  const imported = (await custom()).length;
  expect(imported).toBeGreaterThan(100);
  expect(await remove(inventory)).toEqual({
    removed: imported,
    restored: 0,
    left: [],
    leftTotal: 0,
    changedSince: [],
    changedSinceTotal: 0,
  });
  expect(await custom()).toEqual([]);
});

it('finds nothing to do the second time', async () => {
  const inventory = await inspect();
  await target.land(exported.data);
  await remove(inventory);
  expect(await remove(inventory)).toMatchObject({ removed: 0, restored: 0, leftTotal: 0 });
});

it('puts back what was replaced, leaves what was equal, and touches nothing else of what was there', async () => {
  const { data } = await target.exported({ handles: 30 });
  await target.land({ ...data, resources: data.resources.slice(0, 10) });
  await target.respec('ippools//default-ipv4-ippool', { cidr: '10.99.0.0/16' });
  await target.rewrite('ippools//default-ipv4-ippool', (body) => ({
    ...body,
    metadata: { ...(body.metadata as object), labels: { team: 'theirs' }, finalizers: ['example.com/theirs'] },
  }));
  await target.make('globalnetworkpolicies//default.theirs', { selector: 'all()', order: 12.5 });
  await target.make('ipamhandles//theirs', { handleID: 'theirs', block: {} });
  const before = await target.present();
  const inventory = await inspect();
  await target.land(exported.data);
  expect(await custom()).not.toHaveLength(before.length);

  const { left, restored } = await remove(inventory);
  await restoreNodes(inventory);
  expect(left).toEqual([]);
  expect(restored).toBeGreaterThan(0);
  expect(await target.present()).toEqual(before);
  await target.rewrite('ippools//default-ipv4-ippool', (body) => ({
    ...body,
    metadata: { ...(body.metadata as object), finalizers: [] },
  }));
});

it('leaves what somebody made since, and names it; the late way back takes it as well', async () => {
  const inventory = await inspect();
  await target.land(exported.data);
  await target.make('globalnetworkpolicies//default.theirs', { selector: 'all()' });
  expect(await remove(inventory)).toMatchObject({ left: ['GlobalNetworkPolicy default.theirs'], leftTotal: 1 });
  expect(await custom()).toHaveLength(1);
  expect(await remove(inventory, { alsoNew: true })).toMatchObject({ removed: 1, left: [] });
  expect(await custom()).toEqual([]);
});

it('takes what a Calico that started on the locked target has made by itself, so that the CRDs can go; what people changed of it stays', async () => {
  await target.make('tiers//kube-admin', { order: 1_000, defaultAction: 'Pass' });
  const inventory = await inspect();
  const without = exported.data.resources.filter(
    ({ kind }) => typeof kind === 'string' && !/^(Tier|.*Configuration)$/.test(kind),
  );
  const file = (await target.exported({}, (data) => (data.resources = without))).file;
  await target.land({ ...exported.data, resources: without });
  await target.respec('clusterinformations//default', { calicoVersion: 'v3.30.3', clusterType: 'kdd,k8s,bgp' });
  for (const [place, spec] of [
    ['tiers//default', { order: 1_000_000, defaultAction: 'Deny' }],
    ['tiers//adminnetworkpolicy', { order: 1_000, defaultAction: 'Pass' }],
    ['tiers//baselineadminnetworkpolicy', { order: 10_000_000, defaultAction: 'Pass' }],
    ['felixconfigurations//default', { logSeverityScreen: 'Info', reportingInterval: '0s' }],
    ['kubecontrollersconfigurations//default', { controllers: {} }],
    ['bgpconfigurations//default', {}],
    ['tiers//theirs', { order: 5 }],
  ] as const)
    await target.make(place, spec);
  await target.respec('felixconfigurations//default', { logSeverityScreen: 'Debug' });

  expect(await remove(inventory, { file })).toMatchObject({
    left: ['Tier theirs', 'FelixConfiguration default'],
    changedSince: [],
  });
  const names = (await custom()).map((object) => {
    const { kind, metadata } = object as { kind: string; metadata: { name: string } };
    return `${kind} ${metadata.name}`;
  });
  expect(names.sort()).toEqual(['FelixConfiguration default', 'Tier kube-admin', 'Tier theirs']);
});

it('says which of our objects somebody had changed, and removes them all the same', async () => {
  const inventory = await inspect();
  await target.land(exported.data);
  await target.respec('ippools//default-ipv4-ippool', { natOutgoing: false, disabled: true });
  await target.respec('clusterinformations//default', { clusterType: 'kdd,k8s', datastoreReady: true });
  expect(await remove(inventory)).toMatchObject({ changedSince: ['IPPool default-ipv4-ippool'], changedSinceTotal: 1 });
  expect(await custom()).toEqual([]);
});

it('makes again what it had replaced and somebody has removed since', async () => {
  await target.make('ippools//default-ipv4-ippool', { cidr: '10.99.0.0/16' });
  const before = await target.present();
  const inventory = await inspect();
  await target.land(exported.data);
  await target.remove('ippools//default-ipv4-ippool');
  const { changedSince, restored } = await remove(inventory);
  await restoreNodes(inventory);
  expect({ changedSince, restored }).toEqual({
    changedSince: ['IPPool default-ipv4-ippool (had been removed)'],
    restored: 1,
  });
  expect(await target.present()).toEqual(before);
});

it('ends the same when it is broken off again and again; the lock is the last to go', async () => {
  await target.make('ippools//default-ipv4-ippool', { cidr: '10.99.0.0/16' });
  const before = await target.present();
  const inventory = await inspect();
  await target.land(exported.data);

  let brokenOff = 0;
  for (let present = (await custom()).length; brokenOff < 4 && present > 1;) {
    const attempt = new MockActivityEnvironment();
    const running = attempt.run(() => remove(inventory)).catch((error: unknown) => error);
    const less = present - 25;
    await until('some more are gone', async () => (present = (await custom()).length) <= Math.max(1, less));
    attempt.cancel();
    if ((await running) instanceof Error) brokenOff += 1;
    const left = await custom();
    if (left.length > 1) expect(left.map(({ kind }) => kind)).toContain('ClusterInformation');
  }
  expect(brokenOff).toBeGreaterThan(1);

  await remove(inventory);
  await restoreNodes(inventory);
  expect(await target.present()).toEqual(before);
});

it('outlives a crash of the apiserver in the middle', async () => {
  const inventory = await inspect();
  await target.land(exported.data);
  const all = (await custom()).length;
  const running = remove(inventory).catch((error: unknown) => error);
  await until('some are gone', async () => (await custom()).length < all);
  target.server.kill();
  await target.server.restart();
  const ended = await running;
  if (ended instanceof Error) {
    expect(failureType(ended)).toBe('TargetUnavailable');
    await remove(inventory);
  }
  expect(await custom()).toEqual([]);
});

it('gives way to somebody who writes to the same objects meanwhile', async () => {
  await target.make('ippools//default-ipv4-ippool', { cidr: '10.99.0.0/16' });
  const inventory = await inspect();
  await target.land(exported.data);
  let stop = false;
  const writer = (async () => {
    for (let order = 0; !stop; order += 1) {
      await target.respec('ippools//default-ipv4-ippool', { disabled: order % 2 === 0 }).catch(() => undefined);
      await sleep(5);
    }
  })();
  const { left } = await remove(inventory).finally(() => (stop = true));
  await writer;
  expect(left).toEqual([]);
  expect((await custom()).map(({ kind }) => kind)).toEqual(['IPPool']);
});

describe('the last look', () => {
  const look = (inventory: ArtifactReference, crds: string[] = []): Promise<CreatedObject[]> =>
    target.activities.findKubernetesLeftovers({ scope: target.scope, inventory, crds });

  it('finds nothing left after the way back', async () => {
    await target.make('ippools//theirs', { cidr: '10.99.0.0/16' });
    const inventory = await inspect();
    await target.land(exported.data);
    await remove(inventory);
    await restoreNodes(inventory);
    const found = await look(inventory, ['nothing.crd.projectcalico.org']);
    expect(found.map(({ state }) => state)).toEqual(['gone', 'gone', 'gone']);
  });

  it('names what is still there: definitions, a few objects of each kind, annotations', async () => {
    const inventory = await inspect();
    await target.land(exported.data);
    const crd = 'ippools.crd.projectcalico.org';
    // As it would have been without that definition: then it is ours.
    const lines = (await target.artifacts.read(inventory)).split('\n').filter((line) => line !== `{"crd":"${crd}"}`);
    const without = await target.artifacts.put(target.scope.migration, 'inventory.jsonl', lines.join('\n'));
    const found = await look(without, [crd]);
    const names = found.map(({ kind, name, state }) => `${kind} ${name} ${state}`);
    expect(names).toContain(`CustomResourceDefinition ${crd} present`);
    expect(names).toContain('ClusterInformation default present');
    expect(names).toContain('node annotations worker-1 present');
    expect(names.filter((name) => name.startsWith('IPAMHandle'))).toHaveLength(6);
    expect(found.find(({ name }) => name === 'worker-1')?.why).toContain('projectcalico.org/IPv4Address');
  });
});
