// The checks and the way back with more objects than a page of a list holds: bounded answers, an apiserver that goes away in between.
import type { ArtifactReference } from '../../../activities/artifacts/store';
import { failureType } from '../../../activities/errors';
import type { Comparison } from '../../../activities/calico/kubernetes/compare';
import type { ValidationRecord } from '../../../journal/types';
import { CalicoTarget, prefixed, type Exported } from '../../fixtures/calico-target';

/** Three pages of handles: the apiserver is asked for 500 at a time. */
const many = { handles: 1_100, policies: 60 };

let target: CalicoTarget;
let exported: Exported;
let inventory: ArtifactReference;
beforeAll(async () => {
  target = await CalicoTarget.start();
  exported = await target.exported(many);
  ({ inventory } = await target.activities.inspectKubernetes({ scope: target.scope }));
  await target.land(exported.data);
});
afterAll(() => target.stop());

const compare = (file = exported.file): Promise<Comparison> =>
  target.activities.compareImported({ scope: target.scope, file, encoding: prefixed, inventory });
const failed = (records: ValidationRecord[]): string[] =>
  records.flatMap(({ name, outcome }) => (outcome === 'pass' ? [] : [name]));

it('reads back all pages and finds every object equal', async () => {
  const { records, kinds } = await compare();
  expect(failed(records)).toEqual([]);
  expect(kinds.find(({ kind }) => kind === 'IPAMHandle')).toMatchObject({ wanted: 1_100, equal: 1_100 });
});

it('answers in a few lines when everything differs', async () => {
  const other = await target.exported(many, ({ ipam, resources }) => {
    for (const { value } of ipam.handles) value.block = { '10.123.0.0/26': 1 };
    for (const { spec } of resources) Object.assign(spec as object, { selector: "never == 'so'" });
  });
  const comparison = await compare(other.file);
  expect(failed(comparison.records)).toContain('IPAMHandle');
  expect(comparison.records.find(({ name }) => name === 'IPAMHandle')).toMatchObject({ target: '0 of 1100 equal' });
  expect(JSON.stringify(comparison).length).toBeLessThan(40_000);
});

it('goes on reading, or fails as an outage, when the apiserver is killed in the middle of a list', async () => {
  const running = compare().catch((error: unknown) => error);
  target.server.kill();
  await target.server.restart();
  const ended = await running;
  if (ended instanceof Error) expect(failureType(ended)).toBe('TargetUnavailable');
  else expect(failed((ended as Comparison).records)).toEqual([]);
  expect(failed((await compare()).records)).toEqual([]);
});

it('checks the addresses and lists each kind', async () => {
  const { scope, activities } = target;
  const { file, snapshot } = exported;
  expect(failed(await activities.checkIpam({ scope, file, snapshot }))).toEqual([]);
  expect(failed(await activities.listEachKind({ scope, file, encoding: prefixed }))).toEqual([]);
});

it('takes all of it back', async () => {
  const { scope, activities } = target;
  const { removed, leftTotal } = await activities.removeImported({
    scope,
    file: exported.file,
    inventory,
    encoding: prefixed,
  });
  expect(removed).toBeGreaterThan(1_160);
  expect(leftTotal).toBe(0);
  expect((await target.present()).filter(({ kind }) => kind !== 'Node')).toEqual([]);
});
