// Ending a copy for good, and taking back what it copied. Both are for the undo and for another try: they leave no lane behind.
import { setTimeout as sleep } from 'node:timers/promises';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresDependencies } from '../../dependencies';
import { quoteQualified } from '../identifier';
import { forgetPassesSql } from '../incremental/ledger';
import { ownsLedger } from '../ledger';
import { ledgerSchema, type PostgresScope } from '../scope';
import { forgetPiecesSql } from '../transform/pieces';
import { rejectsDdl } from '../transform/rejects';
import { copyLedgerExists } from './chunk-ledger';
import { endCopySessions } from './sessions';
import { writeSetting } from './settings';

const pollMs = 50;
const patienceMs = 60_000;

export function createStopActivities({ connections }: PostgresDependencies) {
  const stop = (scope: PostgresScope): Promise<{ ended: number }> =>
    withHeartbeat({ ended: 0 }, (beat) =>
      connections.withSession(
        scope.target,
        { side: 'target', purpose: 'stop copy', signal: beat.signal },
        async (target) => {
          if (!(await copyLedgerExists(target)) || !(await ownsLedger(target, scope.migration))) return { ended: 0 };
          // First the word, then the sessions: a lane that arrives in between reads it after it took its lock.
          await writeSetting(target, 'stopped', 'yes');
          const ended = new Set<string>();
          const deadline = Date.now() + patienceMs;
          for (;;) {
            const alive = await endCopySessions(target);
            for (const pid of alive) ended.add(pid);
            beat.report({ ended: ended.size });
            if (alive.length === 0) return { ended: ended.size };
            if (Date.now() > deadline) {
              throw failure(
                'NotReadyYet',
                `${alive.length} sessions of the copy on the target do not end (backends ${alive.join(', ')}). It is tried again by itself; look at the server when that lasts.`,
              );
            }
            await sleep(pollMs);
          }
        },
      ),
    );

  return {
    /**
     * Ends every session that still copies into the target, also those of workers thought dead, and waits until none is left.
     * Nothing is copied afterwards until it is planned again. @throws NotReadyYet (retryable)
     */
    async stopCopy({ scope }: { scope: PostgresScope }): Promise<{ ended: number }> {
      return stop(scope);
    },

    /** Empties what was copied and forgets the chunks, in one transaction, for another try. Nothing planned: nothing to do. */
    async resetCopy({ scope }: { scope: PostgresScope }): Promise<{ tables: number }> {
      await stop(scope);
      return withHeartbeat({}, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'reset copy', signal }, async (target) => {
          if (!(await copyLedgerExists(target)) || !(await ownsLedger(target, scope.migration))) return { tables: 0 };
          await target.query('set session_replication_role = replica');
          await target.query('begin');
          const { rows } = await target.query<{ schema: string; name: string; condition: string | null }>(
            `select schema_name as schema, table_name as name, condition from ${ledgerSchema}.copied_table
             where to_regclass(format('%I.%I', schema_name, table_name)) is not null order by id`,
          );
          const whole = rows
            .filter(({ condition }) => condition === null)
            .map(({ schema, name }) => `only ${quoteQualified(schema, name)}`);
          if (whole.length > 0) await target.query(`truncate ${whole.join(', ')}`);
          for (const { schema, name, condition } of rows.filter((row) => row.condition !== null)) {
            await target.query(`delete from only ${quoteQualified(schema, name)} ${condition ?? ''}`);
          }
          await target.query(`truncate ${ledgerSchema}.chunk, ${ledgerSchema}.copied_table`);
          await target.query(rejectsDdl);
          await target.query(`truncate ${ledgerSchema}.rejects`);
          await target.query(`delete from ${ledgerSchema}.setting where key in ('planned', 'summarizedAt')`);
          // What was compared before is a proof of nothing now.
          await target.query(`drop table if exists ${ledgerSchema}.digest`);
          await target.query(forgetPiecesSql);
          await target.query(forgetPassesSql);
          await target.query('commit');
          return { tables: rows.length };
        }),
      );
    },
  };
}
