// What a migration will take, told before anybody approves it, and compared with what it took. Pure: from sizes and assumed rates at first,
// from the measured times of a rehearsal once there is one.
import { formatDurationMs } from '../plan/duration';
import { formatBytes } from './quantities';
import { isRollbackStep } from './reading';
import type { Journal, Prediction, RehearsalRecord } from './types';

/** What is known before anything has been tried. */
export interface SizeFacts {
  strategy: string;
  databaseBytes: number;
  tables: number;
  lanes: number;
  /** 0: without a limit. */
  maxBytesPerSecond: number;
  /** Whether the backup is a dump that we take. */
  dumps: boolean;
}

/** Bytes a second on modest hardware. Assumed, not measured: a rehearsal replaces them. */
const assumedRates = {
  dump: 50_000_000,
  copyLane: 40_000_000,
  build: 80_000_000,
  digest: 160_000_000,
  analyze: 400_000_000,
};
/** More lanes than this do not make it faster, as long as nobody has measured it. */
const lanesThatHelp = 4;
const schemaMsPerTable = 30;
const fixedMs = 10_000;
/** The hand-over of a migration that streams or writes to both. */
const shortFreezeMs = 2_000;
/** Under the fence of the strategy that copies in passes: the last pass. */
const lastPassMs = 10_000;
/** The target writes each row, each index entry and their page images to its WAL. */
const walShare = 1.2;
const diskShare = 1.1;

type PredictedStep = Prediction['steps'][number];

/** For the gate `start`. */
export function predictFromSizes(facts: SizeFacts, now: Date): Prediction {
  const { strategy, databaseBytes, tables, lanes, maxBytesPerSecond, dumps } = facts;
  const freezing = strategy === 'big-bang';
  const at = (rate: number): number => Math.round((databaseBytes / rate) * 1_000);
  const copyRate = Math.min(
    assumedRates.copyLane * Math.min(lanes, lanesThatHelp),
    maxBytesPerSecond > 0 ? maxBytesPerSecond : Infinity,
  );
  const step = (id: string, title: string, predictedMs: number, downtime = false): PredictedStep => ({
    id,
    title,
    predictedMs,
    ...(downtime ? { downtime } : {}),
  });
  const steps = [
    ...(dumps ? [step('snapshot', 'Take the final backup of the source', at(assumedRates.dump))] : []),
    step('pre-data', 'Create types, functions and tables', tables * schemaMsPerTable),
    step('copy-data', 'Copy the rows', at(copyRate), freezing),
    freezing
      ? step('post-data', 'Build indexes and constraints', at(assumedRates.build), freezing)
      : step('indexes', 'Build keys and indexes', at(assumedRates.build)),
    step('analyze', 'Collect planner statistics', at(assumedRates.analyze), freezing),
    ...(strategy === 'cdc'
      ? [step('validate-moving', 'Compare every row while it moves', at(assumedRates.digest))]
      : strategy === 'dual-write'
        ? [step('reconcile', 'Compare every row, one round', at(assumedRates.digest))]
        : [step('compare-rows', 'Compare every row', at(assumedRates.digest), true)]),
  ];
  const underFence = sum(steps.filter(({ downtime }) => downtime));
  const freezeMs =
    strategy === 'big-bang'
      ? underFence + fixedMs
      : strategy === 'incremental'
        ? underFence + lastPassMs
        : shortFreezeMs;
  return {
    basis: 'assumed',
    madeAt: now.toISOString(),
    assumptions: [
      `assumed, not measured: copy ${rate(copyRate)}, indexes ${rate(assumedRates.build)}, comparison ${rate(assumedRates.digest)}`,
      `sizes as found: ${formatBytes(databaseBytes)} in ${tables} tables, ${lanes} lanes`,
    ],
    totalMs: sum(steps) + fixedMs,
    freezeMs,
    ...room(databaseBytes),
    steps,
  };
}

/** Steps that take longer the more there is; the others depend on the schema, or on nothing. */
const growsWithSize =
  /^(copy|large-objects|indexes|post-data|analyze|compare|validate|measure-proof|refresh|pass|first-pass|second-pass|final-pass|carry|backfill|reconcile|delta|transform)/;

/** Over when the gate `go-live` opens. A rehearsal has them too, but has nothing to back up: they say nothing of what is to come. */
const overBefore: ReadonlySet<string> = new Set(['identify', 'preflight', 'baseline', 'snapshot', 'verify-snapshot']);

/** For the gate `go-live`: the steps that are still to come, as they were measured, scaled by size. */
export function predictFromRehearsal(
  { steps: measured = [], child, databaseBytes, sizeRatio = 1 }: RehearsalRecord,
  productionBytes: number,
  now: Date,
): Prediction {
  const steps = measured
    .filter(({ id }) => !overBefore.has(id))
    .map(({ id, title, durationMs, downtime }): PredictedStep => ({
      id,
      title,
      predictedMs: Math.round(durationMs * (growsWithSize.test(id) ? sizeRatio : 1)),
      ...(downtime ? { downtime } : {}),
    }));
  const stopped = steps.filter(({ downtime }) => downtime);
  return {
    basis: 'rehearsal',
    madeAt: now.toISOString(),
    assumptions: [
      `measured by ${child ?? 'the rehearsal'} on ${databaseBytes === undefined ? 'an unknown size' : formatBytes(databaseBytes)}, production has ${formatBytes(productionBytes)}: what reads or writes rows is scaled by ${sizeRatio.toFixed(2)}`,
      'the scratch servers may be faster or slower than production; calls of the application are not in it',
      ...(stopped.length > 0
        ? []
        : ['no step of the rehearsal stopped writes: the moment of the switch is assumed, not measured']),
    ],
    totalMs: sum(steps),
    freezeMs: stopped.length > 0 ? sum(stopped) : shortFreezeMs,
    ...room(productionBytes),
    steps,
  };
}

function room(databaseBytes: number): { diskBytes: number; walBytes: number } {
  return { diskBytes: Math.round(databaseBytes * diskShare), walBytes: Math.round(databaseBytes * walShare) };
}

function sum(steps: PredictedStep[]): number {
  return steps.reduce((total, { predictedMs }) => total + predictedMs, 0);
}

function rate(bytesPerSecond: number): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}

/** Of a gate's evidence: the longest steps by name. */
const stepsNamed = 6;

/** What the people at a gate should see. */
export function predictionEvidence({
  basis,
  totalMs,
  freezeMs,
  diskBytes,
  walBytes,
  steps,
  assumptions,
}: Prediction): string[] {
  const longest = [...steps].sort((left, right) => right.predictedMs - left.predictedMs).slice(0, stepsNamed);
  return [
    `predicted ${basis === 'assumed' ? 'by assumed rates' : 'from the rehearsal'}: ${formatDurationMs(totalMs)} of work, writes stopped for ${formatDurationMs(freezeMs)}, ${formatBytes(diskBytes)} of disk and ${formatBytes(walBytes)} of WAL on the target`,
    `predicted steps: ${longest.map(({ id, predictedMs }) => `${id} ${formatDurationMs(predictedMs)}`).join(', ')}`,
    ...assumptions,
  ];
}

/** One row of "predicted against actual"; `actualMs` is missing where it has not ended. */
export interface Comparison {
  title: string;
  predictedMs: number;
  actualMs?: number;
}

/** Each step, then the sum of those that ran, then the freeze. */
export function comparePrediction(journal: Journal): Comparison[] {
  const { prediction, downtime } = journal;
  if (!prediction) return [];
  const rows = prediction.steps.map(({ id, title, predictedMs }): Comparison => {
    const actual = journal.steps.findLast((step) => step.id === id && step.state === 'done' && !isRollbackStep(step));
    return { title, predictedMs, ...(actual?.durationMs === undefined ? {} : { actualMs: actual.durationMs }) };
  });
  const ran = rows.filter(({ actualMs }) => actualMs !== undefined);
  return [
    ...rows,
    {
      title: ran.length === rows.length ? 'All of these' : `The ${ran.length} of these that ran`,
      predictedMs: ran.reduce((total, { predictedMs }) => total + predictedMs, 0),
      ...(ran.length > 0 ? { actualMs: ran.reduce((total, { actualMs = 0 }) => total + actualMs, 0) } : {}),
    },
    {
      title: 'Writes stopped',
      predictedMs: prediction.freezeMs,
      ...(downtime?.durationMs === undefined ? {} : { actualMs: downtime.durationMs }),
    },
  ];
}
