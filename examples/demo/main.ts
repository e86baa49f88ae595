// `npm run demo`: a live shop moves from PostgreSQL 15 to 18 under load, first rolled back on purpose in the middle, then for real.
// Exit code 0 only if no acknowledged write is missing or doubled and validation found nothing.
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { Command, InvalidArgumentError } from 'commander';
import pg from 'pg';
import pc from 'picocolors';
import { ensureClientTools } from '../../local/binaries/postgres-client';
import { startStack, type Stack } from '../../local/stack';
import { formatDurationMs } from '../../plan/duration';
import type { PostgresPlanInput } from '../../plan/postgres';
import { approveSignal, rollbackSignal, statusQuery, taskQueue, type MigrationStatus } from '../../workflows/messages';
import type { postgresMigration } from '../../workflows';
import { compareLedger, type LedgerComparison } from '../application/compare-ledger';
import { startApplication, type RunningApplication } from '../application/server';
import { defaultRows, loadSampleData } from '../sample-data/load';
import { FolderRefused, freshFolder } from './folder';
import { Narrator } from './narrator';
import { startWorkerProcess, type WorkerProcess } from './worker-process';

interface DemoOptions {
  rows: number;
  rate: number;
  strategy: string;
  interactive: boolean;
  rollbackFirst: boolean;
  killWorker: boolean;
  folder: string;
}

const token = 'demo-only-token';
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
  process.once('SIGINT', () => void stopAll().then(() => process.exit(130)));
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
    say: (line) => say(pc.dim(`  ${line}`)),
  });

  heading('The application: writes orders all the time, and keeps a ledger of every acknowledged write');
  const ledgerPath = join(folder, 'ledger.jsonl');
  const application = await startApplication({
    sourceUrl: asShop(sourceUrl),
    targetUrl: asShop(targetUrl),
    ledgerPath,
    rate: options.rate,
    adminToken: token,
  });
  stopping.push(() => application.stop());
  say(`  ${application.url}, some ${options.rate} writes a second`);

  const environment = {
    TEMPORAL_ADDRESS: temporal.address,
    CUTOVER_ARTIFACTS: pathToFileURL(join(folder, 'artifacts')).href,
    SOURCE_DATABASE_URL: sourceUrl,
    TARGET_DATABASE_URL: targetUrl,
    SHOP_ADMIN_TOKEN: token,
  };
  const workers: WorkerProcess[] = [await startWorkerProcess(environment, join(folder, 'worker.log'))];
  stopping.push(async () => {
    await workers.at(-1)?.stop();
  });

  const connection = await Connection.connect({ address: temporal.address });
  stopping.push(() => connection.close());
  const client = new Client({ connection });
  say(`  Web UI: ${pc.cyan(temporal.uiUrl)}`);

  const move = new Move(client, temporal.address, temporal.uiUrl, folder, application);
  if (options.rollbackFirst && !options.interactive) {
    heading('First a way back that is tried: rolled back in the middle of the copy');
    const back = await move.run('orders-to-18-tried', { rollBackDuringCopy: true });
    const compared = await compareOn(sourceUrl, application, ledgerPath);
    sayLedger('the source', compared);
    if (back.outcome !== 'rolled-back' || compared.missing.length + compared.doubled.length > 0) return false;
  }

  heading('Now for real');
  const killing = options.killWorker
    ? async () => {
        say(
          pc.red(
            `  kill -9 of the worker (pid ${workers.at(-1)?.pid}) in the middle of the copy; another one is started`,
          ),
        );
        workers.at(-1)?.kill();
        workers.push(await startWorkerProcess(environment, join(folder, 'worker.log')));
      }
    : undefined;
  const result = await move.run('orders-to-18', { interactive: options.interactive, duringCopy: killing });
  const compared = await compareOn(result.outcome === 'completed' ? targetUrl : sourceUrl, application, ledgerPath);

  heading('The end');
  sayLedger(result.outcome === 'completed' ? 'the target' : 'the source', compared);
  say(
    `  ${result.outcome}: ${result.rows ?? 'no'} rows copied, ${result.differences ?? 'unknown'} differences, writes stopped for ${formatDurationMs(result.downtimeMs ?? 0)}`,
  );
  say(`  Report: ${pc.cyan(result.reportArtifact)}`);
  return (
    result.outcome === 'completed' &&
    result.differences === 0 &&
    compared.missing.length === 0 &&
    compared.doubled.length === 0 &&
    compared.acknowledged > 0
  );
}

/** The same database, as the application's ordinary role. */
function asShop(url: string): string {
  const changed = new URL(url);
  changed.username = shopRole;
  changed.password = shopRole;
  return changed.href;
}

/** With the writers at rest, so that the ledger and the database stand still. */
async function compareOn(url: string, application: RunningApplication, ledgerPath: string): Promise<LedgerComparison> {
  await administer(application, 'maintenance-mode', { enabled: true });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await compareLedger(ledgerPath, client);
  } finally {
    await client.end();
    await administer(application, 'normal-mode', {});
  }
}

async function administer({ url }: RunningApplication, endpoint: string, body: object): Promise<void> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const { ok, status } = await fetch(`${url}/admin/${endpoint}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  if (!ok) throw new Error(`the application answered ${status} to ${endpoint}`);
}

function sayLedger(where: string, { acknowledged, missing, doubled, unknown, freezeMs }: LedgerComparison): void {
  const verdict =
    missing.length + doubled.length === 0
      ? pc.green('complete')
      : pc.red(`${missing.length} missing, ${doubled.length} doubled`);
  say(
    `  Ledger: ${acknowledged} acknowledged writes looked up on ${where}: ${verdict} (${unknown} with an unknown outcome)`,
  );
  if (freezeMs !== undefined) say(`  The application saw ${formatDurationMs(freezeMs)} without writes`);
}

class Move {
  constructor(
    private readonly client: Client,
    private readonly address: string,
    private readonly uiUrl: string,
    private readonly folder: string,
    private readonly application: RunningApplication,
  ) {}

  async run(
    workflowId: string,
    how: { rollBackDuringCopy?: boolean; interactive?: boolean; duringCopy?: () => Promise<void> },
  ) {
    const narrator = new Narrator(say, this.address);
    const planFile = join(this.folder, `${workflowId}.plan.json`);
    const plan = this.plan(workflowId);
    writeFileSync(planFile, `${JSON.stringify(plan, undefined, 2)}\n`);
    say('  A person would type:');
    say(
      pc.cyan(
        `    temporal workflow start --address ${this.address} --task-queue ${taskQueue} --type postgresMigration --workflow-id ${workflowId} --input-file ${planFile}`,
      ),
    );
    const handle = await this.client.workflow.start<typeof postgresMigration>('postgresMigration', {
      taskQueue,
      workflowId,
      args: [plan],
      staticSummary: 'Demo: a shop moves from PostgreSQL 15 to 18',
    });
    say(`  Watch it: ${pc.cyan(`${this.uiUrl}/namespaces/default/workflows/${workflowId}`)}\n`);

    const announced = new Set<string>();
    let during = how.duringCopy;
    let result: Awaited<ReturnType<typeof handle.result>> | undefined;
    const ended = handle.result().then((value) => (result = value));
    ended.catch(() => undefined);
    for (;;) {
      const status = await handle.query(statusQuery).catch(() => undefined);
      if (status) {
        narrator.tell(status);
        if (copyHasBegun(status) && how.rollBackDuringCopy && !announced.has('rollback')) {
          announced.add('rollback');
          say(pc.yellow('\n  The operator changes their mind. A person would type:'));
          say(
            pc.cyan(
              `    ${narrator.signalCommand(workflowId, 'rollback', '{"by":"YOU","reason":"trying the way back"}')}`,
            ),
          );
          await handle.signal(rollbackSignal, { by: 'demo', reason: 'trying the way back' });
        }
        if (copyHasBegun(status) && during) {
          const now = during;
          during = undefined;
          await now();
        }
        if (status.blocked && !announced.has(status.blocked.failure)) {
          announced.add(status.blocked.failure);
          say(pc.red(`  Blocked at ${status.blocked.step}: ${status.blocked.failure}`));
          if (!how.interactive)
            await handle.signal(rollbackSignal, { by: 'demo', reason: `blocked at ${status.blocked.step}` });
        }
        const gate = status.gates.find(({ state }) => state === 'open');
        if (gate && !announced.has(`${gate.name} ${gate.openedAt}`)) {
          announced.add(`${gate.name} ${gate.openedAt}`);
          narrator.gate(gate, workflowId);
          if (!how.interactive) await handle.signal(approveSignal, { gate: gate.name, by: 'demo', reason: 'narrated' });
        }
      }
      if (result) return result;
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 300))]);
    }
  }

  private plan(name: string): PostgresPlanInput {
    const { url } = this.application;
    return {
      name,
      strategy: 'big-bang',
      source: { env: 'SOURCE_DATABASE_URL' },
      target: { env: 'TARGET_DATABASE_URL' },
      decision: {
        estimatedDurationMinutes: 2,
        acceptableDowntimeMinutes: 10,
        rationale: 'The shop sleeps at night; ten minutes without orders are accepted.',
      },
      application: { adminUrl: url, token: { env: 'SHOP_ADMIN_TOKEN' } },
      copy: { lanes: 2, chunkMegabytes: 32 },
      validation: {
        notNull: [{ table: 'shop.orders', columns: ['customer_id', 'placed_at'] }],
        assertions: [
          {
            name: 'no order without a customer',
            sql: 'select count(*) from shop.orders o where not exists (select from shop.customers c where c.id = o.customer_id)',
            expect: '0',
          },
        ],
        smoke: [
          { name: 'newest order is served', url: `${url}/orders/latest` },
          { name: 'orders are there', sql: 'select count(*) > 0 from shop.orders', expect: 't' },
        ],
        performance: {
          queries: [{ name: 'orders of a customer', sql: 'select count(*) from shop.orders where customer_id = 42' }],
        },
      },
      rollbackTriggers: { probes: [{ name: 'health', url: `${url}/health` }], interval: '1s', window: '10s' },
      monitor: '15s',
      retainSource: '5s',
    };
  }
}

/** With the reasons underneath: Temporal's own message says only that a workflow failed. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause ? `${error.message}: ${describeFailure(error.cause)}` : error.message;
}

function copyHasBegun({ phase, copy, steps }: MigrationStatus): boolean {
  const copying = steps.some(({ id, state }) => id === 'copy-data' && state === 'running');
  return phase === 'copy' && copying && (copy === undefined || copy.chunksDone > 0 || copy.chunksTotal > 0);
}

function wholeNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('expected a whole number');
  return Number(text);
}

const command = new Command('npm run demo --')
  .description('Moves a live shop from PostgreSQL 15 to 18 on an embedded stack, and proves that nothing is lost.')
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .option('--rows <n>', 'orders in the sample data', wholeNumber, defaultRows)
  .option('--rate <n>', 'writes a second that the application aims at', wholeNumber, 200)
  .option('--strategy <name>', 'big-bang', 'big-bang')
  .option('--interactive', 'leave the gates to you', false)
  .option('--no-rollback-first', 'do not try the way back first')
  .option('--kill-worker', 'kill -9 the worker in the middle of the copy', false)
  .option('--folder <path>', 'where logs, data and artifacts go; emptied first', join('.cutover', 'demo'))
  .action(async (options: DemoOptions) => {
    if (options.strategy !== 'big-bang')
      command.error(
        `--strategy is "${options.strategy}", expected big-bang: the others are not available in this version`,
        { exitCode: 2 },
      );
    process.exitCode = (await demo(options)) ? 0 : 1;
  });

command.parseAsync().catch((error: unknown) => {
  process.stderr.write(`the demo failed: ${describeFailure(error)}\n`);
  process.exitCode = error instanceof FolderRefused ? 2 : 1;
});
