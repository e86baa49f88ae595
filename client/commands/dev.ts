// `cutover dev`: a Temporal server with its Web UI and a worker, on this machine, for trying things out. What it keeps is in `.cutover/`
// of the current folder, so that migrations are still there the next time.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { InvalidArgumentError } from 'commander';
import type { Stack } from '../../local/stack';
import type { Terminal } from '../context';
import { loadStack, loadWorker } from '../parts';
import { action, examples, type AddCommand } from './command';

interface Options {
  postgres?: boolean;
  port?: number;
  uiPort?: number;
}

/** Variables that would lead the worker to another server than the one started here; a profile file may do so too. */
const elsewhere = /^TEMPORAL_/;
const noProfiles = 'no-temporal-profiles.toml';

export const addDev: AddCommand = (program, context) => {
  program
    .command('dev')
    .description('start Temporal with its Web UI and a worker here; Ctrl-C stops all of it')
    .option('--postgres', 'two PostgreSQL servers as well: 15 as source, 18 as target')
    .option('--port <port>', 'of Temporal; 7233 unless it is taken', port)
    .option('--ui-port <port>', 'of the Web UI; 8233 unless it is taken', port)
    .addHelpText('after', examples('dev', 'dev --postgres', 'dev --port 7300 --ui-port 8300'))
    .action(action(context, (options: Options) => dev(context.terminal, options).then(() => 0 as const)));
};

async function dev(terminal: Terminal, { postgres = false, port: temporalPort, uiPort }: Options): Promise<void> {
  const { interrupted } = terminal;
  const say = (line: string): void => terminal.error(`${line}\n`);
  const folder = resolve('.cutover');
  const { ensureClientTools, startStack } = loadStack();
  // Without them preflight says what to do; everything else can be looked at all the same.
  await ensureClientTools(say, terminal.environment).catch((error: unknown) => say(String(error)));
  const stack = await startStack({
    folder,
    postgres,
    temporal: { preferDefaults: true, port: temporalPort, uiPort },
    say,
  });
  try {
    const address = stack.temporal?.address ?? '';
    const databases = await sampleDatabases(stack);
    introduce(terminal, stack, databases);
    if (interrupted.aborted) return;
    await loadWorker().runWorker({
      environment: { ...ours(terminal.environment, folder), ...databases, TEMPORAL_ADDRESS: address },
      address,
      signal: interrupted,
      say,
    });
  } finally {
    say('Stopping …');
    await stack.stop();
    say(`Stopped. What was done is kept in ${folder}.`);
  }
}

function ours(environment: NodeJS.ProcessEnv, folder: string): NodeJS.ProcessEnv {
  const kept = Object.fromEntries(Object.entries(environment).filter(([name]) => !elsewhere.test(name)));
  return {
    CUTOVER_ARTIFACTS: pathToFileURL(resolve(folder, 'artifacts')).href,
    CUTOVER_LOG_LEVEL: 'warn',
    ...kept,
    TEMPORAL_CONFIG_FILE: resolve(folder, noProfiles),
  };
}

/** The variables that plans name, with an empty database each behind them; none without the servers. */
async function sampleDatabases({ source, target }: Stack): Promise<Record<string, string>> {
  if (!source || !target) return {};
  return { SOURCE_DATABASE_URL: await databaseOf(source), TARGET_DATABASE_URL: await databaseOf(target) };
}

const sampleDatabase = 'orders';

async function databaseOf(server: NonNullable<Stack['source']>): Promise<string> {
  try {
    return await server.createDatabase(sampleDatabase);
  } catch (error) {
    // Kept from the last time.
    if (error instanceof Error && 'code' in error && error.code === '42P04') return server.url(sampleDatabase);
    throw error;
  }
}

function introduce(terminal: Terminal, { temporal }: Stack, databases: Record<string, string>): void {
  const address = temporal?.address ?? '';
  terminal.out(
    [
      '',
      `  Temporal   ${address}`,
      `  Web UI     ${temporal?.uiUrl ?? ''}`,
      ...(address === '127.0.0.1:7233' ? [] : ['', `  export TEMPORAL_ADDRESS=${address}`]),
      ...(Object.keys(databases).length > 0
        ? ['', ...Object.entries(databases).map(([name, url]) => `  export ${name}='${url}'`)]
        : []),
      '',
      '  In another terminal: cutover start PLAN.json, then cutover watch ID. Ctrl-C stops everything here.',
      '',
      '',
    ].join('\n'),
  );
}

function port(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= 65_535) return number;
  throw new InvalidArgumentError('Expected a port from 1 to 65535.');
}
