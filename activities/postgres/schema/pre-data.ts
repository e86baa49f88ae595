// Types, functions, tables, views: everything that must be there before the rows. One transaction, together with the
// milestone that says so: it happened wholly or not at all, and exactly once.
import type { Client } from 'pg';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { noteMilestone, readMilestone } from '../ledger';
import type { PostgresScope } from '../scope';
import { SchemaArchive, type ArchiveEntry } from './archive';
import { runEntries } from './run-entries';
import { lockTargetSchema, refuseAfterClearing } from './target-lock';

/** Noted in the transaction that restores the section. */
export const preDataMilestone = 'pre-data';

export function createPreDataActivities({ connections, artifacts, tools }: PostgresDependencies) {
  return {
    /**
     * Creates the pre-data section on the target; a second run finds it done.
     * @throws PreconditionFailed, TargetConflict, AuthDenied naming the object and its statement; TargetUnavailable (retryable)
     */
    async restorePreData({
      scope,
      archive: reference,
    }: {
      scope: PostgresScope;
      archive: ArtifactReference;
    }): Promise<{ objects: number }> {
      return withHeartbeat({ done: 0, total: 0 }, async ({ signal, report }) => {
        const archive = await SchemaArchive.open(artifacts, tools, reference, signal);
        const entries = await archive.list('pre-data');
        const hasPublic = await connections.withSession(
          scope.source,
          { side: 'source', purpose: 'restore pre-data', signal },
          (source) => publicSchemaExists(source),
        );
        const session = { side: 'target', purpose: 'restore pre-data', signal } as const;
        return connections.withSession(scope.target, session, async (target) => {
          await target.query('begin');
          await lockTargetSchema(target, 'alone');
          const done = await readMilestone(target, preDataMilestone);
          if (done) {
            await target.query('rollback');
            return { objects: Number(done['objects']) };
          }
          await refuseAfterClearing(target);
          await matchPublicSchema(target, hasPublic);
          await runEntries(target, archive, entries, {
            done: (count) => report({ done: count, total: entries.length }),
          });
          await noteMilestone(target, preDataMilestone, { objects: countObjects(entries) });
          await target.query('commit');
          return { objects: countObjects(entries) };
        });
      });
    },
  };
}

async function publicSchemaExists(client: Client): Promise<boolean> {
  const { rows } = await client.query(`select from pg_namespace where nspname = 'public'`);
  return rows.length > 0;
}

/** pg_dump takes for granted that every database has it, and never drops it. RESTRICT: one that is in use stays, and is reported. */
async function matchPublicSchema(target: Client, wanted: boolean): Promise<void> {
  const there = await publicSchemaExists(target);
  if (wanted && !there) await target.query('create schema public authorization pg_database_owner');
  if (!wanted && there) await target.query('drop schema public restrict');
}

/** Comments and privileges belong to objects and are none themselves. */
function countObjects(entries: ArchiveEntry[]): number {
  return entries.filter(({ kind, oid }) => kind !== 'COMMENT' && kind !== 'ACL' && oid !== '0').length;
}
