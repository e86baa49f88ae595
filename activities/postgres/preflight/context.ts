// What the checks look with: one read-only session on each side with time limits, and the facts that several of them need,
// read once. A side that cannot be reached has no session, and says why.
import type { Client, QueryResultRow } from 'pg';
import type { IncrementalSettings } from '../../../plan/incremental';
import type { Afterwards, CdcSettings, RollbackTriggers, Snapshot, Validation } from '../../../plan/postgres';
import type { ConnectionReference } from '../../../plan/reference';
import type { Rehearsal } from '../../../plan/rehearsal';
import type { Retire } from '../../../plan/retire';
import type { Transformation } from '../../../plan/transformations';
import type { PostgresDependencies } from '../../dependencies';
import { postgresFailure } from '../errors';
import type { PostgresScope } from '../scope';
import { listExcluded, listTables, type SelectedTable, type TableName } from '../tables';
import { readServer, type ServerFacts } from './server-facts';

export interface PreflightInput {
  scope: PostgresScope;
  strategy: string;
  roles: 'create' | 'require';
  /** Check name -> reason. */
  waivers: Record<string, string>;
  snapshot: Snapshot;
  validation: Validation;
  rehearsal?: Rehearsal;
  /** What is asked for after the switch. */
  triggers?: RollbackTriggers;
  afterwards?: Afterwards;
  retire?: Retire;
  /** For the strategy `cdc`; without it the plan's defaults. How the servers reach each other is in `scope.links`. */
  cdc?: CdcSettings;
  /** For the strategy `cdc`; without it, that the way back is streamed. */
  reverseReplication?: boolean;
  /** For the strategy `incremental`; without it the plan's defaults. */
  incremental?: IncrementalSettings;
  /** Tables whose columns are other ones on the target; without it none. */
  transformations?: Transformation[];
}

export type CheckedSide = 'source' | 'target';

/** The belt of every checking session: it cannot write, and it waits for nobody. */
export const checkingSettings = {
  default_transaction_read_only: 'on',
  statement_timeout: '60s',
  lock_timeout: '5s',
  idle_in_transaction_session_timeout: '60s',
};

export class CheckContext {
  private readonly sessions = new Map<CheckedSide, Client>();
  private readonly errors = new Map<CheckedSide, unknown>();
  private readonly known = new Map<string, Promise<unknown>>();

  constructor(
    readonly input: PreflightInput,
    readonly dependencies: PostgresDependencies & { environment?: NodeJS.ProcessEnv },
    readonly signal: AbortSignal,
  ) {}

  /** Opens both sessions; a failure is kept for the checks to tell. */
  async connect(): Promise<void> {
    for (const side of ['source', 'target'] as const) {
      try {
        this.sessions.set(side, await this.open(this.input.scope[side], side));
      } catch (error) {
        this.signal.throwIfAborted();
        this.errors.set(side, error);
      }
    }
  }

  async end(): Promise<void> {
    await Promise.all([...this.sessions.values()].map((session) => session.end().catch(() => undefined)));
  }

  /** One more checking session; the caller ends it. */
  open(reference: ConnectionReference, side: CheckedSide | 'scratch'): Promise<Client> {
    return this.dependencies.connections.open(reference, {
      side,
      purpose: 'preflight',
      signal: this.signal,
      settings: checkingSettings,
    });
  }

  /** @throws SourceUnavailable, TargetUnavailable (retryable) when a server has gone away meanwhile: what could not be looked at says nothing then */
  async requireStillThere(): Promise<void> {
    for (const [side, session] of this.sessions) {
      await session.query('select').catch((error: unknown) => {
        this.signal.throwIfAborted();
        throw postgresFailure(error, side, 'Preflight');
      });
    }
  }

  reachable(side: CheckedSide): boolean {
    return this.sessions.has(side);
  }

  unreachableBecause(side: CheckedSide): string {
    const error = this.errors.get(side);
    return error instanceof Error ? error.message : String(error);
  }

  session(side: CheckedSide): Client {
    const session = this.sessions.get(side);
    if (!session) throw new Error(`the ${side} cannot be reached`);
    return session;
  }

  /** Rows of one query; every value is text or null. */
  async rows<Row extends QueryResultRow>(side: CheckedSide, sql: string, parameters: unknown[] = []): Promise<Row[]> {
    return (await this.session(side).query<Row>(sql, parameters)).rows;
  }

  /** One value as text, null when there is none. */
  async value(side: CheckedSide, sql: string, parameters: unknown[] = []): Promise<string | null> {
    const rows = await this.rows<Record<string, string | null>>(side, sql, parameters);
    return Object.values(rows[0] ?? {})[0] ?? null;
  }

  server(side: CheckedSide): Promise<ServerFacts> {
    return this.once(`server ${side}`, () => readServer(this.session(side)));
  }

  /** The selected tables of the source. */
  tables(): Promise<SelectedTable[]> {
    return this.once('tables', () => listTables(this.session('source'), this.input.scope.tables));
  }

  excludedTables(): Promise<TableName[]> {
    return this.once('excluded', () => listExcluded(this.session('source'), this.input.scope.tables));
  }

  /** Reads a fact the first time it is asked for. */
  once<Fact>(name: string, read: () => Promise<Fact>): Promise<Fact> {
    const known = this.known.get(name);
    // The name and its type are fixed at the one place that reads it.
    if (known) return known as Promise<Fact>;
    // Also a read that throws before it promises anything comes out as a rejection.
    const reading = (async () => read())();
    this.known.set(name, reading);
    return reading;
  }
}
