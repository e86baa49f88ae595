// The two databases of the application and which of them it uses: kept in a file beside the ledger, so that a restart
// after the switch does not go back to the old one.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { Client, Pool } from 'pg';
import type { Side } from './ledger';

export type Mode = 'normal' | 'maintenance';

export interface TargetHealth {
  healthy: boolean;
  /** In schema shop; 0 before the migration has made it. */
  tables?: number;
  durationMs: number;
  error?: string;
}

const connection = {
  application_name: 'shop',
  connectionTimeoutMillis: 5_000,
  statement_timeout: 5_000,
  // A server that has stopped answering must not keep a write in flight for ever.
  query_timeout: 6_000,
  keepAlive: true,
} as const;

export class Sides {
  active: Side = 'source';
  mode: Mode = 'normal';
  private readonly pools: Record<Side, Pool>;

  constructor(
    private readonly urls: Record<Side, string>,
    private readonly poolSize: number,
    private readonly statePath: string,
  ) {
    this.pools = { source: makePool(urls.source, poolSize), target: makePool(urls.target, poolSize) };
    if (!existsSync(statePath)) return;
    const state: unknown = JSON.parse(readFileSync(statePath, 'utf8'));
    if (state === null || typeof state !== 'object') return;
    if ('active' in state && state.active === 'target') this.active = 'target';
    if ('mode' in state && state.mode === 'maintenance') this.mode = 'maintenance';
  }

  pool(): Pool {
    return this.pools[this.active];
  }

  /** Opens the sessions of the active side before they are needed. Nothing depends on it. */
  warm(): void {
    const pool = this.pool();
    for (let session = 0; session < this.poolSize; session += 1) {
      pool.connect().then(
        (client) => client.release(),
        () => undefined,
      );
    }
  }

  /** Changes mode or side, on disk before in memory. */
  become(change: { active?: Side; mode?: Mode }): void {
    const next = { active: change.active ?? this.active, mode: change.mode ?? this.mode };
    writeFileSync(`${this.statePath}.new`, JSON.stringify(next));
    renameSync(`${this.statePath}.new`, this.statePath);
    this.active = next.active;
    this.mode = next.mode;
  }

  /** Connects to the target afresh, as the application will. Before the schema is there, the connection alone is healthy. */
  async targetHealth(): Promise<TargetHealth> {
    const startedAt = performance.now();
    const client = new Client({ connectionString: this.urls.target, ...connection });
    client.on('error', () => undefined);
    try {
      await client.connect();
      const { rows } = await client.query<{ tables: string }>(
        `select count(*)::text as tables from pg_catalog.pg_tables where schemaname = 'shop'`,
      );
      const tables = Number(rows[0]?.tables);
      if (tables > 0) await client.query('select reference from shop.orders limit 1');
      return { healthy: true, tables, durationMs: Math.round(performance.now() - startedAt) };
    } catch (error) {
      return { healthy: false, durationMs: Math.round(performance.now() - startedAt), error: messageOf(error) };
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  async end(): Promise<void> {
    await Promise.all([this.pools.source.end(), this.pools.target.end()]);
  }
}

function makePool(connectionString: string, max: number): Pool {
  const pool = new Pool({ connectionString, max, ...connection });
  // Sessions that the server ends (the fence does) are news for the next query, not the end of the process.
  pool.on('error', () => undefined);
  pool.on('connect', (client) => client.on('error', () => undefined));
  return pool;
}

/** An AggregateError of a refused connection has no message of its own. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors[0] instanceof Error) return error.errors[0].message;
  return error instanceof Error ? error.message : String(error);
}
