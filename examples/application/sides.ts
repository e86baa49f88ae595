// The two databases of the application, which of them it uses and whether it writes to both: kept in a file beside the ledger, so that a
// restart after the switch does not go back to the old one.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { Client, Pool } from 'pg';
import { z } from 'zod';
import type { Side } from './ledger';

export type Mode = 'normal' | 'maintenance';

/** What a restart must know. */
interface State {
  active: Side;
  mode: Mode;
  /** Whether writes are repeated on the side that is not active. */
  dualWrite: boolean;
  failedRepeats: number;
  /** Ended in order: no repeat was under way. */
  rested: boolean;
}

const stateSchema = z.object({
  active: z.enum(['source', 'target']).default('source'),
  mode: z.enum(['normal', 'maintenance']).default('normal'),
  dualWrite: z.boolean().default(false),
  failedRepeats: z.number().default(0),
  rested: z.boolean().default(true),
});

export interface SideHealth {
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
  private state: State;
  private readonly pools: Record<Side, Pool>;
  /** It wrote to both sides when it was killed: a repeat under way then may not have been made. */
  readonly killedBetween: boolean;

  constructor(
    private readonly urls: Record<Side, string>,
    private readonly poolSize: number,
    private readonly statePath: string,
  ) {
    this.pools = { source: makePool(urls.source, poolSize), target: makePool(urls.target, poolSize) };
    this.state = stateSchema.parse(existsSync(statePath) ? JSON.parse(readFileSync(statePath, 'utf8')) : {});
    this.killedBetween = this.state.dualWrite && !this.state.rested;
    if (this.state.dualWrite) this.become({});
  }

  get active(): Side {
    return this.state.active;
  }

  get mode(): Mode {
    return this.state.mode;
  }

  get dualWrite(): boolean {
    return this.state.dualWrite;
  }

  get failedRepeats(): number {
    return this.state.failedRepeats;
  }

  /** The side that gets the repeats. */
  get other(): Side {
    return this.active === 'source' ? 'target' : 'source';
  }

  pool(side: Side = this.active): Pool {
    return this.pools[side];
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

  /** Changes what is given, on disk before in memory. */
  become(change: Partial<State>): void {
    const next = { ...this.state, rested: false, ...change };
    writeFileSync(`${this.statePath}.new`, JSON.stringify(next));
    renameSync(`${this.statePath}.new`, this.statePath);
    this.state = next;
  }

  /** Connects to a side afresh, as the application will. Before the schema is there, the connection alone is healthy. */
  async health(side: Side): Promise<SideHealth> {
    const startedAt = performance.now();
    const client = new Client({ connectionString: this.urls[side], ...connection });
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

  /** When no write is under way any more. */
  async end(): Promise<void> {
    if (this.dualWrite) this.become({ rested: true });
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
