// `npm run bench:cdc`: the freeze of a hand-over by CDC, through Temporal with all its proofs, at a stated rate of acknowledged writes and at two
// sizes of the database; and the way until it streams, beside a plain CREATE SUBSCRIPTION of the same data under the same load, in
// alternating rounds of one run. Every figure is measured in the run; every acknowledged write is looked up at its end.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { Command, InvalidArgumentError } from 'commander';
import { startWorkerProcess } from '../examples/demo/worker-process';
import { ensureClientTools } from '../local/binaries/postgres-client';
import { startStack, type Stack } from '../local/stack';
import type { PostgresPlanInput } from '../plan/postgres';
import { execute, fill, ordersFor } from './cdc/data';
import { floorOf } from './cdc/floor';
import { LoadProcess } from './cdc/load-process';
import { BenchMigration } from './cdc/migration';
import { plainSubscription, type SyncRun } from './cdc/plain-subscription';
import { printResults, type FreezeResult, type Results, type SyncRound } from './cdc/results';
import { awaitPassage, burst, sampleLag, settleServers } from './cdc/stream-probe';

const say = (line: string): void => void process.stderr.write(`${line}\n`);

interface BenchOptions {
  megabytes: number[];
  rate: number;
  writers: number;
  handOvers: number;
  rounds: number;
  burstRows: number;
  json: boolean;
  quick: boolean;
}

/** One size of the database: its source, its target, what the plan calls them. */
interface Case {
  megabytes: number;
  databaseBytes: number;
  sourceUrl: string;
  targetUrl: string;
  source: { env: string };
  target: { env: string };
}

async function bench(options: BenchOptions): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cutover-bench-'));
  const stack = await startStack({ postgres: true, say });
  const stopping: (() => Promise<void>)[] = [];
  try {
    const cases = await makeCases(stack, options.megabytes);
    const client = await startOurs(stack, folder, cases, stopping);
    const freezes: FreezeResult[] = [];
    for (const one of cases)
      freezes.push(await underLoad(one, options, (load) => freezeOf(one, options, client, load)));
    const largest = cases.at(-1);
    if (!largest) throw new Error('no size');
    const sync =
      options.rounds === 0
        ? { rounds: [], floorsMs: [] }
        : await underLoad(largest, options, (load) => syncRounds(largest, options, client, load, stack, folder));
    const results: Results = { options, freezes, sync: { databaseBytes: largest.databaseBytes, ...sync } };
    printResults(results, options.json);
  } finally {
    for (const stop of stopping.reverse())
      await stop().catch((error: unknown) => say(`while stopping: ${String(error)}`));
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function makeCases({ source, target }: Stack, sizes: number[]): Promise<Case[]> {
  if (!source || !target) throw new Error('the stack is not complete');
  const cases: Case[] = [];
  for (const [index, megabytes] of sizes.entries()) {
    say(`filling a source with about ${megabytes} MB`);
    const sourceUrl = await source.createDatabase(`bench_${index}`);
    const databaseBytes = await fill(sourceUrl, megabytes);
    const targetUrl = await target.createDatabase(`bench_${index}`);
    const names = { source: { env: `BENCH_SOURCE_${index}` }, target: { env: `BENCH_TARGET_${index}` } };
    cases.push({ megabytes, databaseBytes, sourceUrl, targetUrl, ...names });
  }
  return cases;
}

/** A worker as a process of its own, and a client. */
async function startOurs(
  { temporal }: Stack,
  folder: string,
  cases: Case[],
  stopping: (() => Promise<void>)[],
): Promise<Client> {
  if (!temporal) throw new Error('the stack has no Temporal');
  const environment: NodeJS.ProcessEnv = {
    TEMPORAL_ADDRESS: temporal.address,
    CUTOVER_ARTIFACTS: pathToFileURL(join(folder, 'artifacts')).href,
  };
  for (const { source, target, sourceUrl, targetUrl } of cases) {
    environment[source.env] = sourceUrl;
    environment[target.env] = targetUrl;
  }
  const worker = await startWorkerProcess(environment, join(folder, 'worker.log'));
  stopping.push(() => worker.stop());
  const connection = await Connection.connect({ address: temporal.address });
  stopping.push(() => connection.close());
  return new Client({ connection });
}

/** With the writers at work all the time; at its end every write that they were acknowledged is looked up. */
async function underLoad<Result>(
  { megabytes, sourceUrl, targetUrl }: Case,
  { rate, writers }: BenchOptions,
  measure: (load: LoadProcess) => Promise<Result>,
): Promise<Result> {
  const load = await LoadProcess.start({ sourceUrl, targetUrl, rate, writers, orders: ordersFor(megabytes) });
  try {
    const result = await measure(load);
    const writes = await load.requireComplete('source');
    say(`  all ${writes} acknowledged writes are there, none twice`);
    return result;
  } finally {
    await load.stop();
  }
}

function planFor(one: Case, load: LoadProcess): PostgresPlanInput {
  return {
    name: `bench-${one.megabytes}`,
    strategy: 'cdc',
    source: one.source,
    target: one.target,
    application: { adminUrl: load.url },
    snapshot: { kind: 'none', reason: 'data of a benchmark, made anew at every run' },
    gates: { accept: { approvers: 1 } },
    copy: { lanes: 2 },
    monitor: '2h',
    retainSource: '1s',
  };
}

const lagSamples = 20;

/** One migration, taken forward and back in turn without a fresh copy. */
async function freezeOf(one: Case, options: BenchOptions, client: Client, load: LoadProcess): Promise<FreezeResult> {
  say(`${options.handOvers} hand-overs with ${one.megabytes} MB, ${options.rate} writes a second asked for`);
  const migration = await BenchMigration.start(client, planFor(one, load), say);
  await migration.untilCutover();
  const lags: number[] = [];
  const rates: number[] = [];
  let givenUp = 0;
  for (let turn = 0; turn < options.handOvers; turn += 1) {
    const backwards = turn % 2 === 1;
    const [writing, following] = backwards ? [one.targetUrl, one.sourceUrl] : [one.sourceUrl, one.targetUrl];
    const [lag, rate] = await Promise.all([sampleLag(writing, following, lagSamples), load.measureRate(2_000)]);
    lags.push(...lag);
    rates.push(rate);
    givenUp += await migration.handOver(backwards, async () => (await load.status()).switches.length === turn + 1);
    await migration.untilSettled(backwards);
    const { lastSwitch } = await load.status();
    say(`  ${lastSwitch?.from} to ${lastSwitch?.to}: ${lastSwitch?.freezeMs.toFixed(0)} ms without writes`);
  }
  const handOvers = await migration.handOvers();
  if (options.handOvers % 2 === 0) await migration.reject();
  else throw new Error('expected an even number of hand-overs');
  const { switches } = await load.status();
  return {
    megabytes: one.megabytes,
    databaseBytes: one.databaseBytes,
    freezesMs: switches.map(({ freezeMs }) => freezeMs),
    handOvers,
    givenUp,
    lagsMs: lags,
    writesPerSecond: rates,
  };
}

/** Until it streams: ours and the peer in turn, each on an empty target, under one load. */
async function syncRounds(
  one: Case,
  options: BenchOptions,
  client: Client,
  load: LoadProcess,
  stack: Stack,
  folder: string,
): Promise<{ rounds: SyncRound[]; floorsMs: number[] }> {
  const tools = await ensureClientTools(() => undefined);
  const { sourceUrl, targetUrl } = one;
  const floorsMs: number[] = [];
  const contenders = {
    ours: async (): Promise<SyncRun> => {
      const migration = await BenchMigration.start(client, planFor(one, load), say);
      const inSync = await migration.untilInSync();
      await awaitPassage(sourceUrl, targetUrl, 60_000);
      await migration.untilHeld();
      await settleServers(sourceUrl, targetUrl);
      const catchUpRowsPerSecond = await burst(sourceUrl, targetUrl, options.burstRows);
      await migration.rollBack();
      return { ...inSync, catchUpRowsPerSecond };
    },
    plain: () =>
      plainSubscription({
        sourceUrl,
        targetUrl,
        tools,
        folder,
        burstRows: options.burstRows,
        atEnd: async (subscription) => void floorsMs.push(...(await floorOf(load, sourceUrl, targetUrl, subscription))),
      }),
  };
  const rounds: SyncRound[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    const done: Partial<SyncRound> = {};
    // Each begins a round in its turn, so that none is always the one after a rest.
    for (const contender of round % 2 === 0 ? (['ours', 'plain'] as const) : (['plain', 'ours'] as const)) {
      await emptyTarget(stack, one);
      done[contender] = await contenders[contender]();
      say(`round ${round + 1}: ${contender.padEnd(5)} in sync after ${done[contender].seconds.toFixed(1)} s`);
    }
    if (!done.ours || !done.plain) throw new Error('a contender was left out');
    rounds.push({ ours: done.ours, plain: done.plain });
  }
  return { rounds, floorsMs };
}

async function emptyTarget({ source, target }: Stack, { sourceUrl, targetUrl }: Case): Promise<void> {
  if (!source || !target) throw new Error('the stack is not complete');
  const name = new URL(targetUrl).pathname.slice(1);
  await execute(target.url(), `drop database if exists ${name} with (force)`, 'checkpoint');
  await target.createDatabase(name);
  await execute(sourceUrl, 'checkpoint');
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('expected a whole number');
  return Number(text);
}

function evenNumber(text: string): number {
  const number = wholeNumber(text);
  if (number < 2 || number % 2 !== 0)
    throw new InvalidArgumentError('expected an even number: forward and back in turn');
  return number;
}

function sizes(text: string): number[] {
  const numbers = text.split(',').map((part) => wholeNumber(part.trim()));
  if (numbers.some((number) => number < 10)) throw new InvalidArgumentError('expected sizes from 10 MB on');
  return numbers;
}

const quickOptions = { megabytes: [20, 100], handOvers: 4, rounds: 1, burstRows: 20_000 };

const command = new Command('npm run bench:cdc --')
  .description(
    'The freeze of a hand-over by CDC at two sizes, and the way until it streams beside a plain subscription.',
  )
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .option('--megabytes <list>', 'sizes of the source, roughly; the last one for the rounds', sizes, [100, 1_000])
  .option('--rate <n>', 'writes a second that the load aims at', wholeNumber, 1_000)
  .option('--writers <n>', 'of the load, each with a session', wholeNumber, 8)
  .option('--hand-overs <n>', 'for each size, forward and back in turn', evenNumber, 10)
  .option('--rounds <n>', 'how often each comes to stream from nothing; 0 leaves the comparison out', wholeNumber, 3)
  .option('--burst-rows <n>', 'rows changed at once, to measure how fast a stream catches up', wholeNumber, 200_000)
  .option('--quick', 'small sizes, few hand-overs, one round: two minutes in place of ten', false)
  .option('--json', 'print JSON', false)
  .action(async (options: BenchOptions) => {
    const defaults = Object.entries(quickOptions).filter(([name]) => command.getOptionValueSource(name) === 'default');
    await bench(options.quick ? { ...options, ...Object.fromEntries(defaults) } : options);
  });

// So that the children hear of it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

command.parseAsync().catch((error: unknown) => {
  process.stderr.write(
    `the benchmark failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exitCode = 1;
});
