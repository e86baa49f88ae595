// The sessions of one comparison: some on each side that share out the reading, and one on each for markers and catalogs. For a pass
// all sessions of a side see the same moment, and the two moments lie close together in the stream: the follower's is taken when it
// has seen a marker written right after the writer's. However long the reading takes and however far the stream lags behind, the two
// differ only by what was written in those few milliseconds. Where no stream leads from one to the other but the application writes to both, time
// stands for the marker.
import { setTimeout as sleep } from 'node:timers/promises';
import { Query, type Client, type QueryArrayConfig } from 'pg';
import type { PostgresConnections } from '../connection';
import { valueSettings } from '../copy/copy-format';
import { unreadable } from '../digest/read-pieces';
import { postgresFailure } from '../errors';
import { quoteLiteral } from '../identifier';
import { takeTurns } from '../lanes';
import type { PostgresScope } from '../scope';
import { passMarker } from '../stream/marker';
import { otherSide, type Stream, type WritingSide } from '../stream/names';
import type { Statement } from './sql';

/** Enough for the groups of the finest first cut, so that PostgreSQL need not spill them to disk. */
const settings = { ...valueSettings, work_mem: '64MB' };
const markerTimeoutMs = 120_000;
const begin = 'begin isolation level repeatable read read only';

/** What is read of one table on one side by one statement. */
export interface Reading {
  side: WritingSide;
  statement: Statement;
  /** Columns as text, null for NULL. Rows are not kept. */
  onRow: (row: (string | null)[]) => void;
  /** It could not be read, and trying again by itself would not help. */
  onFailure: (reason: string) => void;
  onDone?: () => void;
}

export class MovingSessions {
  private inPass = false;

  private constructor(
    readonly control: Record<WritingSide, Client>,
    private readonly readers: Record<WritingSide, Client[]>,
    private readonly writing: WritingSide,
    private readonly streams: Stream[],
    private readonly signal: AbortSignal,
    private readonly settleMs?: number,
  ) {}

  /** Opens them, lets `work` use them and ends them. @throws SourceUnavailable, TargetUnavailable (retryable) */
  static async with<Result>(
    options: {
      connections: PostgresConnections;
      scope: PostgresScope;
      lanes: number;
      writing: WritingSide;
      signal: AbortSignal;
      streamsOf: (target: Client) => Promise<Stream[]>;
      /** In place of streams: how long a write may take to be repeated on the other side. */
      settleMs?: number;
    },
    work: (sessions: MovingSessions) => Promise<Result>,
  ): Promise<Result> {
    const { connections, scope, lanes, writing, signal } = options;
    const opened: Client[] = [];
    const open = async (side: WritingSide, purpose: string): Promise<Client> => {
      const client = await connections.open(scope[side], { side, purpose, signal, settings });
      opened.push(client);
      return client;
    };
    try {
      const control = {
        source: await open('source', 'compare moving'),
        target: await open('target', 'compare moving'),
      };
      const readers: Record<WritingSide, Client[]> = { source: [], target: [] };
      for (let lane = 0; lane < Math.max(1, lanes); lane += 1) {
        readers.source.push(await open('source', 'digest'));
        readers.target.push(await open('target', 'digest'));
      }
      const streams = await options.streamsOf(control.target);
      return await work(new MovingSessions(control, readers, writing, streams, signal, options.settleMs));
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      await Promise.all(opened.map((client) => client.end().catch(() => undefined)));
    }
  }

  /** Everything committed on the writing side before the call is visible on the other side afterwards. @throws NotReadyYet (retryable) */
  async passMarker(): Promise<void> {
    const { control, writing, streams, signal, settleMs } = this;
    if (settleMs !== undefined) {
      await sleep(settleMs, undefined, { signal });
      return;
    }
    const to = otherSide(writing);
    try {
      await passMarker(control[writing], control[to], streams, { signal, timeoutMs: markerTimeoutMs });
    } catch (error) {
      throw postgresFailure(error, to, 'Passing a marker through the streams');
    }
  }

  /**
   * Both sides as they were at two moments close together, for as long as `work` takes. Statements of a pass leave no lock behind:
   * a TRUNCATE of the application waits for one statement, not for the pass.
   */
  async atOneMoment<Result>(work: () => Promise<Result>): Promise<Result> {
    const following = otherSide(this.writing);
    try {
      // Nothing else between the two moments: what is written in the meantime is what must be looked at again.
      const here = await this.hold(this.writing);
      if (this.settleMs === undefined) await this.passMarker();
      const there = await this.hold(following);
      await Promise.all([this.join(this.writing, here), this.join(following, there)]);
      this.inPass = true;
      return await work();
    } finally {
      this.inPass = false;
      await Promise.all(
        [...this.readers.source, ...this.readers.target].map((client) =>
          client.query('rollback').catch(() => undefined),
        ),
      );
    }
  }

  /** Reads all of it, on both sides at once. Outside of a pass each statement sees its own moment. */
  async read(readings: Reading[]): Promise<void> {
    const sides: WritingSide[] = ['source', 'target'];
    const results = await Promise.allSettled(
      sides.map((side) => {
        const idle = [...this.readers[side]];
        return takeTurns(
          readings.filter((reading) => reading.side === side),
          idle.length,
          async (next) => {
            const client = idle.pop();
            if (!client) throw new Error('more lanes than sessions');
            for (let reading = next(); reading; reading = next()) await this.readOne(client, reading);
          },
        );
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** The moment that all others of this side join. */
  private async hold(side: WritingSide): Promise<string> {
    const [first] = this.readers[side];
    try {
      await first?.query(begin);
      const exported = await first?.query<{ snapshot: string }>('select pg_export_snapshot() as snapshot');
      return exported?.rows[0]?.snapshot ?? '';
    } catch (error) {
      throw postgresFailure(error, side, 'Holding a moment for the comparison');
    }
  }

  private async join(side: WritingSide, snapshot: string): Promise<void> {
    const [, ...others] = this.readers[side];
    try {
      await Promise.all(
        others.map(async (client) => {
          await client.query(begin);
          await client.query(`set transaction snapshot ${quoteLiteral(snapshot)}`);
        }),
      );
    } catch (error) {
      throw postgresFailure(error, side, 'Joining the moment of the comparison');
    }
  }

  private async readOne(client: Client, { side, statement, onRow, onFailure, onDone }: Reading): Promise<void> {
    try {
      // What a savepoint is rolled back to, its locks are given back to.
      if (this.inPass) await client.query('savepoint reading');
      await eachRow(client, statement, onRow).catch((error: unknown) => {
        this.signal.throwIfAborted();
        const { reason } = unreadable(error);
        if (reason === undefined) throw error;
        onFailure(reason);
      });
      if (this.inPass) await client.query('rollback to savepoint reading');
      onDone?.();
    } catch (error) {
      this.signal.throwIfAborted();
      throw postgresFailure(error, side, 'Reading rows for the comparison');
    }
  }
}

/** Rows as they arrive: the driver would otherwise keep them all until the statement is done. */
function eachRow(client: Client, { text, values }: Statement, onRow: (row: (string | null)[]) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const config: QueryArrayConfig<unknown[]> = { text, values, rowMode: 'array' };
    const query = new Query<(string | null)[]>(config);
    query.on('row', (row) => {
      try {
        onRow(row);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    query.on('error', reject);
    query.on('end', () => resolve());
    client.query(query);
  });
}
