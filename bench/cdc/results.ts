// What the benchmark of CDC has measured, as people read it and as JSON.
import type { HandOverTimes } from './migration';
import type { SyncRun } from './plain-subscription';
import { spread, type Spread } from './statistics';

export interface FreezeResult {
  /** Asked for. */
  megabytes: number;
  /** Measured, before the load began. */
  databaseBytes: number;
  /** Of each hand-over, as the writers saw it: last acknowledged write on the old side to the first on the new. */
  freezesMs: number[];
  handOvers: HandOverTimes[];
  /** Hand-overs that missed the deadline. */
  givenUp: number;
  lagsMs: number[];
  /** Acknowledged, over the two seconds before each hand-over. */
  writesPerSecond: number[];
}

export interface SyncRound {
  ours: SyncRun;
  plain: SyncRun;
}

export interface Results {
  options: { megabytes: number[]; rate: number; writers: number; handOvers: number; rounds: number; burstRows: number };
  freezes: FreezeResult[];
  sync: { databaseBytes: number; rounds: SyncRound[]; floorsMs: number[] };
}

const print = (line = ''): void => void process.stdout.write(`${line}\n`);

export function printResults(results: Results, json: boolean): void {
  if (json) {
    const summary = {
      freezes: results.freezes.map(summarize),
      sync: summarizeSync(results.sync.rounds),
      floor: spread(results.sync.floorsMs),
    };
    print(JSON.stringify({ ...results, summary }, undefined, 2));
    return;
  }
  const { rate, writers, handOvers } = results.options;
  print(
    `\nThe freeze: last acknowledged write on the old side to the first on the new, ${handOvers} hand-overs forward and back in turn,`,
  );
  print(`${writers} writers, ${rate} writes a second asked for. Milliseconds: median (least … most)`);
  for (const freeze of results.freezes) printFreeze(freeze);
  const { floorsMs, databaseBytes, rounds } = results.sync;
  if (floorsMs.length > 0) {
    print(
      `\nThe floor: a bare script without proofs and without undo, ${megabytes(databaseBytes)}, ${floorsMs.length} hand-overs`,
    );
    print(`  freeze, as the writers saw it   ${milliseconds(spread(floorsMs))}`);
  }
  if (rounds.length > 0) printSync(results);
}

function summarize(freeze: FreezeResult) {
  const { freezesMs, handOvers, lagsMs, writesPerSecond } = freeze;
  const of = (from: 'source' | 'target'): number[] =>
    handOvers.flatMap((record) => (record.from === from && record.freezeMs !== undefined ? [record.freezeMs] : []));
  return {
    freeze: spread(freezesMs),
    forward: spread(of('source')),
    back: spread(of('target')),
    outage: spread(handOvers.flatMap(({ outageMs }) => outageMs ?? [])),
    lag: spread(lagsMs),
    writesPerSecond: spread(writesPerSecond),
    steps: mediansOf(handOvers.map(({ steps }) => steps)),
    parts: mediansOf(handOvers.map(({ parts }) => parts)),
  };
}

function printFreeze(freeze: FreezeResult): void {
  const { freeze: writers, forward, back, outage, lag, writesPerSecond, steps, parts } = summarize(freeze);
  print(`\n${megabytes(freeze.databaseBytes)}, ${writesPerSecond.median.toFixed(0)} acknowledged writes a second`);
  print(`  freeze, as the writers saw it   ${milliseconds(writers)}`);
  print(`    forward ${milliseconds(forward)}, back ${milliseconds(back)}`);
  print(`  outage, by the workflow's clock ${milliseconds(outage)}`);
  print(`  lag of a row under that load    ${milliseconds(lag)}, ${freeze.lagsMs.length} samples`);
  if (freeze.givenUp > 0) print(`  given up by the deadline and tried again: ${freeze.givenUp}`);
  print('  where the outage goes, median of each step, one after the other, with what Temporal takes to get there:');
  for (const { name, ms } of steps) print(`    ${ms.toFixed(0).padStart(5)} ms  ${name}`);
  print('  inside fence, turn and what follows, some side by side:');
  for (const { name, ms } of parts) print(`    ${ms.toFixed(0).padStart(5)} ms  ${name}`);
}

/** Median of each over all hand-overs, in the order in which they happen; what happens twice in one is added up. */
function mediansOf(lists: { name: string; ms: number }[][]): { name: string; ms: number }[] {
  const names = [...new Set(lists.flatMap((list) => list.map(({ name }) => name)))];
  const sums = (name: string): number[] =>
    lists.map((list) => list.reduce((sum, one) => (one.name === name ? sum + one.ms : sum), 0));
  return names.map((name) => ({ name, ms: spread(sums(name)).median }));
}

function summarizeSync(rounds: SyncRound[]) {
  const of = (pick: (round: SyncRound) => number): Spread => spread(rounds.map(pick));
  return {
    seconds: { ours: of(({ ours }) => ours.seconds), plain: of(({ plain }) => plain.seconds) },
    ratio: of(({ ours, plain }) => ours.seconds / plain.seconds),
    catchUpRowsPerSecond: {
      ours: of(({ ours }) => ours.catchUpRowsPerSecond),
      plain: of(({ plain }) => plain.catchUpRowsPerSecond),
    },
    catchUpRatio: of(({ ours, plain }) => ours.catchUpRowsPerSecond / plain.catchUpRowsPerSecond),
  };
}

function printSync({ options, sync }: Results): void {
  const { seconds, ratio, catchUpRowsPerSecond, catchUpRatio } = summarizeSync(sync.rounds);
  print(
    `\nUntil it streams, ${megabytes(sync.databaseBytes)} under the same load, ${options.rounds} rounds, alternating. Seconds: median (least … most)`,
  );
  print(`  ours                ${spreadText(seconds.ours, 1)}`);
  print(`  plain subscription  ${spreadText(seconds.plain, 1)}`);
  print(`  ours / plain        ${spreadText(ratio, 2)}`);
  for (const [index, { ours, plain }] of sync.rounds.entries()) {
    print(`  round ${index + 1}: ours ${partsText(ours)}; plain ${partsText(plain)}`);
  }
  print(
    `Catching up with ${options.burstRows} rows changed at once, under the same load, on servers that have done their own work (VACUUM ANALYZE, CHECKPOINT). Rows a second:`,
  );
  print(`  ours                ${spreadText(catchUpRowsPerSecond.ours, 0)}`);
  print(`  plain subscription  ${spreadText(catchUpRowsPerSecond.plain, 0)}`);
  print(`  ours / plain        ${spreadText(catchUpRatio, 2)}`);
}

function partsText({ parts }: SyncRun): string {
  return Object.entries(parts)
    .map(([name, seconds]) => `${name} ${seconds.toFixed(1)}`)
    .join(', ');
}

function milliseconds(values: Spread): string {
  return spreadText(values, values.median < 10 ? 1 : 0);
}

function spreadText({ median, least, most }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${least.toFixed(digits)} … ${most.toFixed(digits)})`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
