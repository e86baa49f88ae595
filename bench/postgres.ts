// `npm run bench:postgres`: the whole move of one database by our activities and by pg_dump and pg_restore, the same data, the same
// servers, in alternating pairs of one run. What counts is the ratio, pair by pair.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import pg from 'pg';
import { artifactStoreFor } from '../activities/artifacts';
import type { ArtifactReference } from '../activities/artifacts/store';
import { createPostgresActivities } from '../activities/postgres';
import { runTool } from '../activities/postgres/client-tools';
import { PostgresConnections } from '../activities/postgres/connection';
import { ensureClientTools } from '../local/binaries/postgres-client';
import { startStack, type Stack } from '../local/stack';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

interface Timing {
  total: number;
  parts: Record<string, number>;
}

async function timed(parts: Record<string, number>, name: string, work: () => Promise<unknown>): Promise<void> {
  const from = performance.now();
  await work();
  parts[name] = (performance.now() - from) / 1_000;
}

function sum(parts: Record<string, number>): Timing {
  return { parts, total: Object.values(parts).reduce((left, right) => left + right, 0) };
}

async function execute(url: string, ...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

/** Three tables of different shapes, with keys, secondary indexes and foreign keys; generated on the server. */
async function fill(url: string, megabytes: number): Promise<void> {
  const rows = megabytes * 2_200;
  await execute(
    url,
    `create table customers (id bigint primary key, name text not null, email text not null, since timestamptz not null)`,
    `create table orders (id bigint primary key, customer_id bigint not null, total numeric(12,2) not null, note text, created_at timestamptz not null)`,
    `create table events (id bigint primary key, order_id bigint not null, kind text not null, payload jsonb not null, at timestamptz not null)`,
    `insert into customers select i, 'customer ' || i, md5(i::text) || '@example.com', now() - i * interval '1 minute' from generate_series(1, ${Math.ceil(rows / 10)}) i`,
    `insert into orders select i, 1 + i % ${Math.ceil(rows / 10)}, (i % 100000) / 100.0, repeat(md5(i::text), 3), now() - i * interval '1 second' from generate_series(1, ${rows}) i`,
    `insert into events select i, 1 + i % ${rows}, 'kind ' || i % 7, jsonb_build_object('n', i, 'text', md5(i::text)), now() - i * interval '1 second' from generate_series(1, ${rows}) i`,
    `create index on orders (customer_id)`,
    `create index on orders (created_at)`,
    `create index on events (order_id)`,
    `alter table orders add foreign key (customer_id) references customers`,
    `alter table events add foreign key (order_id) references orders`,
    'analyze',
    'checkpoint',
  );
}

async function ours(sourceUrl: string, targetUrl: string, folder: string, lanes: number): Promise<Timing> {
  const activities = createPostgresActivities({
    connections: new PostgresConnections({ SOURCE: sourceUrl, TARGET: targetUrl }),
    artifacts: artifactStoreFor(pathToFileURL(join(folder, 'artifacts')).href),
    tools: await ensureClientTools(() => undefined),
  });
  const scope = {
    migration: `bench-${Date.now()}`,
    source: { env: 'SOURCE' },
    target: { env: 'TARGET' },
    tables: { include: ['*.*'], exclude: [] },
  };
  const parts: Record<string, number> = {};
  let archive: ArtifactReference | undefined;
  await timed(parts, 'schema', async () => {
    await activities.prepareLedger({ scope });
    const dumped = await activities.dumpSchema({ scope });
    archive = dumped.archive;
    await activities.restorePreData({ scope, archive: dumped.archive });
    await activities.planChunks({ scope, chunkMegabytes: 128 });
  });
  await timed(parts, 'rows', () =>
    Promise.all(Array.from({ length: lanes }, (_, lane) => activities.copyLane({ scope, lane }))),
  );
  await timed(parts, 'indexes', async () => {
    if (!archive) throw new Error('no archive');
    await activities.buildPostData({ scope, archive, lanes });
  });
  await timed(parts, 'analyze', () => activities.analyzeTarget({ scope, lanes }));
  await activities.removeLedger({ scope });
  return sum(parts);
}

async function peer(sourceUrl: string, targetUrl: string, folder: string, lanes: number): Promise<Timing> {
  const connections = new PostgresConnections({ SOURCE: sourceUrl, TARGET: targetUrl });
  const { pgDump, pgRestore } = await ensureClientTools(() => undefined);
  if (!pgDump || !pgRestore) throw new Error('pg_dump and pg_restore are needed');
  const dump = join(folder, 'peer.dump');
  const call = async (tool: string, reference: string, ...args: string[]): Promise<void> => {
    const { exitCode, stderr } = await runTool(tool, args, {
      environment: await connections.toolEnvironment({ env: reference }),
    });
    if (exitCode !== 0) throw new Error(`${tool} failed: ${stderr}`);
  };
  const parts: Record<string, number> = {};
  await timed(parts, 'pg_dump', () =>
    call(pgDump, 'SOURCE', '--format=directory', '--compress=0', `--jobs=${lanes}`, `--file=${dump}`),
  );
  await timed(parts, 'pg_restore', () =>
    call(pgRestore, 'TARGET', '--dbname=bench', `--jobs=${lanes}`, '--exit-on-error', dump),
  );
  await timed(parts, 'analyze', () => execute(targetUrl, 'analyze'));
  rmSync(dump, { recursive: true, force: true });
  return sum(parts);
}

async function freshTarget({ target }: Stack): Promise<string> {
  if (!target) throw new Error('no target');
  await execute(target.url(), 'drop database if exists bench', 'checkpoint');
  return target.createDatabase('bench');
}

async function bench({ megabytes, pairs, lanes }: { megabytes: number; pairs: number; lanes: number }): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cutover-bench-'));
  const stack = await startStack({ postgres: true, say });
  try {
    if (!stack.source) throw new Error('no source');
    const sourceUrl = await stack.source.createDatabase('bench');
    say(`filling the source with about ${megabytes} MB`);
    await fill(sourceUrl, megabytes);
    const ratios: number[] = [];
    for (let pair = 1; pair <= pairs; pair += 1) {
      const mine = await ours(sourceUrl, await freshTarget(stack), folder, lanes);
      const theirs = await peer(sourceUrl, await freshTarget(stack), folder, lanes);
      ratios.push(mine.total / theirs.total);
      say(`pair ${pair}: ours ${describe(mine)}`);
      say(`        pg_dump and pg_restore ${describe(theirs)}`);
      say(`        ours / theirs ${(mine.total / theirs.total).toFixed(2)}`);
    }
    ratios.sort((left, right) => left - right);
    say(
      `ours / pg_dump and pg_restore, ${lanes} lanes each, ${pairs} pairs: median ${ratios[Math.floor(pairs / 2)]?.toFixed(2)}, from ${ratios[0]?.toFixed(2)} to ${ratios.at(-1)?.toFixed(2)}`,
    );
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function describe({ total, parts }: Timing): string {
  return `${total.toFixed(1)} s (${Object.entries(parts)
    .map(([name, seconds]) => `${name} ${seconds.toFixed(1)}`)
    .join(', ')})`;
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('expected a whole number from 1');
  return Number(text);
}

new Command('npm run bench:postgres --')
  .description('Ours against pg_dump and pg_restore: the same data, the same servers, alternating pairs of one run.')
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .option('--megabytes <n>', 'size of the source, roughly', wholeNumber, 1_000)
  .option('--pairs <n>', 'how often each is run', wholeNumber, 3)
  .option('--lanes <n>', 'of the copy and of the index builds; jobs of the tools', wholeNumber, 2)
  .action(bench)
  .parseAsync()
  .catch((error: unknown) => {
    process.stderr.write(
      `the benchmark failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exitCode = 1;
  });
