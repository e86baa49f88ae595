// The rejects outlive the ledger: as a file that the report names, with a line for each row that is not on the target.
import { Readable } from 'node:stream';
import type { Client } from 'pg';
import type { Transformation } from '../../../plan/transformations';
import type { RejectRecord } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { requireLedger } from '../ledger';
import type { PostgresScope } from '../scope';
import { countRejects, describeReject, readRejects, rejectOf, rejectsSql, type RejectRow } from './rejects';

const listed = 20;
const atOnce = 1_000;

export interface KeptRejects {
  /** Of each transformed table, in the order of the plan. */
  tables: RejectRecord[];
  total: number;
  /** The first twenty: `public.orders key=(42) created: text that is no date or time (SQLSTATE 22007)`. */
  first: string[];
  /** `rejects.jsonl`: `{table, key, column?, sqlState, reason}` a line; only where there are any. */
  artifact?: ArtifactReference;
}

export function createRejectActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Writes down the rows that were refused by their expressions, as far as they are known.
     * @throws TargetUnavailable, ArtifactStoreUnavailable (retryable); TargetConflict when the ledger is gone
     */
    async keepRejects({
      scope,
      transformations,
    }: {
      scope: PostgresScope;
      transformations: Transformation[];
    }): Promise<KeptRejects> {
      return withHeartbeat({}, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'keep rejects', signal }, async (target) => {
          await requireLedger(target, scope.migration);
          const counts = await countRejects(target, transformations);
          const tables = transformations.map(({ table, maxRejects }, index) => ({
            table,
            rejects: counts[index] ?? 0,
            maxRejects,
          }));
          const total = counts.reduce((sum, count) => sum + count, 0);
          const first = await readRejects(target, listed);
          const content = Readable.from(linesOf(target));
          return {
            tables,
            total,
            first: first.map((reject) => `${reject.table} ${describeReject(reject)}`),
            ...(total > 0 ? { artifact: await artifacts.put(scope.migration, 'rejects.jsonl', content) } : {}),
          };
        }),
      );
    },
  };
}

/** A few at a time: the plan may take as many as it likes. */
async function* linesOf(target: Client): AsyncGenerator<string> {
  await target.query('begin');
  try {
    await target.query(`declare rejected no scroll cursor for ${rejectsSql}`);
    for (;;) {
      const { rows } = await target.query<RejectRow>(`fetch ${atOnce} from rejected`);
      if (rows.length === 0) return;
      yield rows.map((row) => `${JSON.stringify(rejectOf(row))}\n`).join('');
    }
  } finally {
    await target.query('rollback').catch(() => undefined);
  }
}
