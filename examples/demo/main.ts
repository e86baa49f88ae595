// `npm run demo`: a live shop moves from PostgreSQL 15 to 18 under load. With big-bang first rolled back on purpose in the middle, then for
// real; with `--strategy incremental` copied live and brought up in passes; with `--strategy cdc` switched, taken back after writes on the new side,
// and switched once more; with `--strategy dual-write` written to both sides, some of it lost on purpose and mended, and switched without a stop.
// Exit code 0 only if no acknowledged write is missing or doubled and validation found nothing.
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { Command, InvalidArgumentError, Option } from 'commander';
import pc from 'picocolors';
import { ensureClientTools } from '../../local/binaries/postgres-client';
import { startStack, type Stack } from '../../local/stack';
import { formatDurationMs } from '../../plan/duration';
import type { MigrationResult } from '../../workflows/messages';
import { startApplication, type RunningApplication } from '../application/server';
import { defaultRows, loadSampleData } from '../sample-data/load';
import { DualWriteStory } from './dual-write-story';
import { copyHasBegun, Move, type Stage, type Story } from './follow';
import { FolderRefused, freshFolder } from './folder';
import { adminToken, compareOn, isComplete, sayLedger, saySwitches } from './ledger';
import { bigBangPlan, cdcPlan, dualWritePlan, incrementalPlan } from './plans';
import { StreamedStory } from './streamed-story';
import { startWorkerProcess, type WorkerProcess } from './worker-process';

interface DemoOptions {
  rows: number;
  rate: number;
  strategy: (typeof strategies)[number];
  interactive: boolean;
  rollbackFirst: boolean;
  killWorker: boolean;
  folder: string;
}

const strategies = ['big-bang', 'incremental', 'cdc', 'dual-write'] as const;
const shopRole = 'shop';
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const heading = (text: string): void => say(`\n${pc.bold(pc.inverse(` ${text} `))}`);

async function demo(options: DemoOptions): Promise<boolean> {
  const folder = resolve(options.folder);
  freshFolder(folder);

  heading('The stack: Temporal with its Web UI, PostgreSQL 15 and 18');
  await ensureClientTools((line) => say(pc.dim(`  ${line}`)));
  const stack = await startStack({
    folder: join(folder, 'stack'),
    temporal: { preferDefaults: true },
    postgres: true,
    say: (line) => say(pc.dim(`  ${line}`)),
  });
  const stopping: (() => Promise<void>)[] = [() => stack.stop()];
  const stopAll = async (): Promise<void> => {
    for (const stop of stopping.splice(0).reverse())
      await stop().catch((error: unknown) => say(`  while stopping: ${String(error)}`));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stopAll().then(() => process.exit(130)));
  try {
    return await runOn(stack, folder, options, stopping);
  } finally {
    await stopAll();
  }
}

async function runOn(
  stack: Stack,
  folder: string,
  options: DemoOptions,
  stopping: (() => Promise<void>)[],
): Promise<boolean> {
  const { temporal, source, target } = stack;
  if (!temporal || !source || !target) throw new Error('the stack is not complete');
  const sourceUrl = await source.createDatabase('orders');
  const targetUrl = await target.createDatabase('orders');

  heading('The data');
  await loadSampleData(sourceUrl, {
    rows: options.rows,
    roleName: shopRole,
    rolePassword: shopRole,
    documents: options.strategy === 'big-bang',
    // Rows are compared while they change: each must be told from every other.
    everyTableKeyed: options.strategy === 'dual-write',
    say: (line) => say(pc.dim(`  ${line}`)),
  });

  heading('The application: writes orders all the time, and keeps a ledger of every acknowledged write');
  const ledgerPath = join(folder, 'ledger.jsonl');
  const application = await startApplication({
    sourceUrl: asShop(sourceUrl),
    targetUrl: asShop(targetUrl),
    ledgerPath,
    rate: options.rate,
    writers: options.strategy === 'big-bang' ? 4 : 8,
    adminToken,
  });
  stopping.push(() => application.stop());
  say(`  ${application.url}, some ${options.rate} writes a second`);

  const environment = {
    TEMPORAL_ADDRESS: temporal.address,
    CUTOVER_ARTIFACTS: pathToFileURL(join(folder, 'artifacts')).href,
    SOURCE_DATABASE_URL: sourceUrl,
    TARGET_DATABASE_URL: targetUrl,
    SHOP_ADMIN_TOKEN: adminToken,
  };
  const workers: WorkerProcess[] = [await startWorkerProcess(environment, join(folder, 'worker.log'))];
  stopping.push(async () => {
    await workers.at(-1)?.stop();
  });

  const connection = await Connection.connect({ address: temporal.address });
  stopping.push(() => connection.close());
  say(`  Web UI: ${pc.cyan(temporal.uiUrl)}`);
  const stage: Stage = {
    client: new Client({ connection }),
    address: temporal.address,
    uiUrl: temporal.uiUrl,
    folder,
    say,
  };
  const cast = { application, sourceUrl, targetUrl, killWorker: options.killWorker ? killAndReplace : undefined };
  const tell = { 'big-bang': stopped, incremental: inPasses, cdc: streamed, 'dual-write': writtenTwice }[
    options.strategy
  ];
  return tell(stage, cast, options);

  async function killAndReplace(): Promise<void> {
    say(
      pc.red(`  kill -9 of the worker (pid ${workers.at(-1)?.pid}) in the middle of the copy; another one is started`),
    );
    workers.at(-1)?.kill();
    workers.push(await startWorkerProcess(environment, join(folder, 'worker.log')));
  }
}

interface Cast {
  application: RunningApplication;
  sourceUrl: string;
  targetUrl: string;
  killWorker?: () => Promise<void>;
}

/** big-bang: writes stop for the whole copy. First rolled back in the middle on purpose, then for real. */
async function stopped(stage: Stage, cast: Cast, options: DemoOptions): Promise<boolean> {
  const { application, sourceUrl, targetUrl, killWorker } = cast;
  if (options.rollbackFirst && !options.interactive) {
    heading('First a way back that is tried: rolled back in the middle of the copy');
    const rollBackOnce = duringCopy((move) => move.rollBack('trying the way back'));
    const back = await new Move(stage, bigBangPlan('orders-to-18-tried', application.url)).run({
      onStatus: rollBackOnce,
    });
    const compared = await compareOn(sourceUrl, application);
    sayLedger(say, 'the source', compared);
    if (back.outcome !== 'rolled-back' || compared.missing.length + compared.doubled.length > 0) return false;
  }

  heading('Now for real');
  const result = await new Move(stage, bigBangPlan('orders-to-18', application.url)).run({
    interactive: options.interactive,
    ...(killWorker ? { onStatus: duringCopy(killWorker) } : {}),
  });
  return conclude(result, cast, targetUrl);
}

/** The ledger is the judge. */
async function conclude(result: MigrationResult, cast: Cast, targetUrl: string): Promise<boolean> {
  const { application } = cast;
  const [where, url] = inUse(result, cast);
  const compared = await compareOn(url, application);
  heading('The end');
  sayLedger(say, where, compared);
  if (compared.freezeMs !== undefined)
    say(`  The application saw ${formatDurationMs(compared.freezeMs)} without writes`);
  sayResult(result);
  return result.outcome === 'completed' && result.differences === 0 && isComplete(compared) && targetUrl === url;
}

/** incremental: copied live and brought up in passes under load; stopped for the last of them and the proof. */
async function inPasses(stage: Stage, cast: Cast, options: DemoOptions): Promise<boolean> {
  const { application, targetUrl, killWorker } = cast;
  heading(
    'The migration: copied while the shop goes on, then brought up in passes until what is left fits into the freeze',
  );
  const result = await new Move(stage, incrementalPlan('orders-to-18', application.url)).run({
    interactive: options.interactive,
    ...(killWorker ? { onStatus: duringCopy(killWorker) } : {}),
  });
  return conclude(result, cast, targetUrl);
}

/** cdc: copied and streamed under load; there, back and there again, and nothing lost on either side. */
async function streamed(stage: Stage, cast: Cast, options: DemoOptions): Promise<boolean> {
  const { application, sourceUrl, killWorker } = cast;
  heading('The migration: copied and streamed while the shop goes on');
  const { rate, interactive } = options;
  const story = new StreamedStory(say, application, { rate, sourceUrl, interactive }, killWorker);
  const result = await new Move(stage, cdcPlan('orders-to-18', application.url)).run(story);
  const [where, url] = inUse(result, cast);
  const compared = await compareOn(url, application);
  heading('The end');
  saySwitches(say, compared);
  if (story.onSource) sayLedger(say, 'the source, when its stream ended', story.onSource);
  sayLedger(say, where, compared);
  sayResult(result);
  const followed = interactive || (story.onSource !== undefined && isComplete(story.onSource));
  return result.outcome === 'completed' && result.differences === 0 && isComplete(compared) && followed;
}

/** dual-write: the application writes to both, what it could not repeat is mended, and the sides change places under load. */
async function writtenTwice(stage: Stage, cast: Cast, options: DemoOptions): Promise<boolean> {
  const { application, sourceUrl, killWorker } = cast;
  heading('The migration: the shop writes to both sides, and goes on');
  const { rate, interactive } = options;
  const story = new DualWriteStory(say, application, { rate, sourceUrl, interactive }, killWorker);
  await story.prepare();
  const result = await new Move(stage, dualWritePlan('orders-to-18', application.url)).run(story);
  const [where, url] = inUse(result, cast);
  const compared = await compareOn(url, application);
  heading('The end');
  saySwitches(say, compared);
  if (story.onSource) sayLedger(say, 'the source, when the repeats ended', story.onSource);
  sayLedger(say, where, compared);
  sayResult(result);
  const followed = interactive || (story.onSource !== undefined && isComplete(story.onSource));
  return result.outcome === 'completed' && result.differences === 0 && isComplete(compared) && followed;
}

/** Once, when the first chunks are copied. */
function duringCopy(act: (move: Move) => Promise<void>): NonNullable<Story['onStatus']> {
  let done = false;
  return async (status, move) => {
    if (done || !copyHasBegun(status)) return;
    done = true;
    await act(move);
  };
}

function inUse({ outcome }: MigrationResult, { sourceUrl, targetUrl }: Cast): [where: string, url: string] {
  return outcome === 'completed' ? ['the target', targetUrl] : ['the source', sourceUrl];
}

function sayResult({ outcome, rows, differences, downtimeMs, reportArtifact }: MigrationResult): void {
  say(
    `  ${outcome}: ${rows ?? 'no'} rows copied, ${differences ?? 'unknown'} differences, writes stopped for ${formatDurationMs(downtimeMs ?? 0)}`,
  );
  say(`  Report: ${pc.cyan(reportArtifact)}`);
}

/** The same database, as the application's ordinary role. */
function asShop(url: string): string {
  const changed = new URL(url);
  changed.username = shopRole;
  changed.password = shopRole;
  return changed.href;
}

/** With the reasons underneath: Temporal's own message says only that a workflow failed. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause ? `${error.message}: ${describeFailure(error.cause)}` : error.message;
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('expected a whole number');
  return Number(text);
}

const command = new Command('npm run demo --')
  .description('Moves a live shop from PostgreSQL 15 to 18 on an embedded stack, and proves that nothing is lost.')
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .option('--rows <n>', 'orders in the sample data', wholeNumber, defaultRows)
  .option('--rate <n>', 'writes a second that the application aims at (default: 200; with cdc 300)', wholeNumber)
  .addOption(
    new Option(
      '--strategy <name>',
      'stopped for the whole copy, brought over in passes, streamed, or written to both sides',
    )
      .choices(strategies)
      .default('big-bang'),
  )
  .option('--interactive', 'leave the gates to you', false)
  .option('--no-rollback-first', 'big-bang: do not try the way back first')
  .option('--kill-worker', 'kill -9 the worker in the middle of the copy', false)
  .option('--folder <path>', 'where logs, data and artifacts go; emptied first', join('.cutover', 'demo'))
  .action(async (options: Omit<DemoOptions, 'rate'> & { rate?: number }) => {
    const { rate = options.strategy === 'cdc' ? 300 : 200 } = options;
    process.exitCode = (await demo({ ...options, rate })) ? 0 : 1;
  });

command.parseAsync().catch((error: unknown) => {
  process.stderr.write(`the demo failed: ${describeFailure(error)}\n`);
  process.exitCode = error instanceof FolderRefused ? 2 : 1;
});
