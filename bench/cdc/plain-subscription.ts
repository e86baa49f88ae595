// The peer: what PostgreSQL does by itself. The schema by pg_dump and pg_restore with keys and indexes in place, a publication of all tables,
// one CREATE SUBSCRIPTION that copies them; in sync when every table is ready and a row has passed.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runTool, type ClientTools } from '../../activities/postgres/client-tools';
import { PostgresConnections } from '../../activities/postgres/connection';
import { connect, execute } from './data';
import { awaitPassage, burst, settleServers } from './stream-probe';

export interface PlainOptions {
  sourceUrl: string;
  targetUrl: string;
  tools: ClientTools;
  /** For the dump of the schema. */
  folder: string;
  burstRows: number;
  /** Called with the name of the subscription, while it follows. */
  atEnd: (subscription: string) => Promise<void>;
}

export interface SyncRun {
  /** Until every table is streamed and a row has passed. */
  seconds: number;
  /** Seconds, in order. */
  parts: Record<string, number>;
  /** Rows a second of a burst that is caught up with. */
  catchUpRowsPerSecond: number;
}

const name = 'bench_plain';

/** On an empty target; what it made on the source is removed again. */
export async function plainSubscription(options: PlainOptions): Promise<SyncRun> {
  const { sourceUrl, targetUrl, burstRows } = options;
  const parts: Record<string, number> = {};
  const startedAt = performance.now();
  let from = startedAt;
  const lap = (part: string): void => {
    const now = performance.now();
    parts[part] = (now - from) / 1_000;
    from = now;
  };
  try {
    await restoreSchema(options);
    lap('schema');
    await execute(sourceUrl, `create publication ${name} for all tables`);
    await execute(
      targetUrl,
      `create subscription ${name} connection '${sourceUrl.replaceAll("'", "''")}' publication ${name}`,
    );
    await untilReady(targetUrl);
    lap('tables');
    await awaitPassage(sourceUrl, targetUrl, 600_000);
    lap('marker');
    const seconds = (performance.now() - startedAt) / 1_000;
    await settleServers(sourceUrl, targetUrl);
    const catchUpRowsPerSecond = await burst(sourceUrl, targetUrl, burstRows);
    await options.atEnd(name);
    return { seconds, parts, catchUpRowsPerSecond };
  } finally {
    await execute(targetUrl, `drop subscription if exists ${name}`);
    await execute(sourceUrl, `drop publication if exists ${name}`);
  }
}

async function restoreSchema({ sourceUrl, targetUrl, tools, folder }: PlainOptions): Promise<void> {
  const { pgDump, pgRestore } = tools;
  if (!pgDump || !pgRestore) throw new Error('pg_dump and pg_restore are needed');
  const connections = new PostgresConnections({ SOURCE: sourceUrl, TARGET: targetUrl });
  const dump = join(folder, 'plain.dump');
  const call = async (tool: string, reference: string, ...args: string[]): Promise<void> => {
    const { exitCode, stderr } = await runTool(tool, args, {
      environment: await connections.toolEnvironment({ env: reference }),
    });
    if (exitCode !== 0) throw new Error(`${tool} failed: ${stderr}`);
  };
  await call(pgDump, 'SOURCE', '--format=custom', '--schema-only', '--no-privileges', '--no-owner', `--file=${dump}`);
  const database = new URL(targetUrl).pathname.slice(1);
  await call(pgRestore, 'TARGET', `--dbname=${database}`, '--exit-on-error', dump);
  rmSync(dump, { force: true });
}

async function untilReady(targetUrl: string): Promise<void> {
  const client = await connect(targetUrl);
  try {
    for (;;) {
      const { rows } = await client.query<{ waiting: string; tables: string }>(
        `select count(*) filter (where srsubstate <> 'r')::text as waiting, count(*)::text as tables from pg_subscription_rel`,
      );
      if (rows[0]?.waiting === '0' && rows[0].tables !== '0') return;
      await sleep(20);
    }
  } finally {
    await client.end();
  }
}
