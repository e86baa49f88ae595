// Copy groups: tables that are copied under one exported snapshot and then follow through one stream of their own. When the snapshot
// is lost, finished tables keep their group and their stream; unfinished ones are emptied and join the next group. Each step looks
// before it acts and may be run again at any point.
import type { Client } from 'pg';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import { readSetting } from '../copy/settings';
import { requireLedger } from '../ledger';
import { ledgerSchema, type PostgresScope } from '../scope';
import { inTransaction } from './group-ledger';
import { groupSize, joinGroup, lockGroup } from './join-group';
import { closeLost } from './lost-group';
import { ensureMarker } from './marker';
import { groupStream } from './names';
import { ensurePublication } from './publication';
import { recopy } from './recopy';
import { withSides } from './sides';
import { snapshotLost } from './snapshot-holder';
import { plannedAsStreamed } from './streamed-tables';

/** One group of tables, as the workflow names it. */
export interface GroupInput {
  scope: PostgresScope;
  /** From 1. */
  group: number;
}

export function createGroupActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Takes every table that has still to be copied into the group, and makes the group's marker tables and its publication on the source.
     * Bytes are those of the source's disk. Run again for a group that is open: gives what it has. No table is left: makes nothing.
     * @throws PreconditionFailed, SchemaChanged, AuthDenied, TargetConflict (not retryable); SourceUnavailable, TargetUnavailable, NotReadyYet (retryable)
     */
    async openGroup({ scope, group }: GroupInput): Promise<{ tables: number; bytes: number }> {
      const stream = groupStream(scope.migration, group);
      return withHeartbeat({ published: 0 }, ({ signal, report }) =>
        withSides(connections, scope, `opening copy group ${group}`, signal, async ({ source, target }) => {
          await requireLedger(target, scope.migration);
          await requirePlanned(target);
          const { tables, slotBegun } = await joinGroup(source, target, group);
          if (tables === 0 || slotBegun) return groupSize(target, group);
          await ensureMarker(target, stream);
          await ensureMarker(source, stream);
          await inTransaction(target, async () => {
            // Held while the publication is made: the slot cannot be begun before.
            const { state, slotBegun: begun } = await lockGroup(target, group);
            if (state !== 'open' || begun) return;
            await ensurePublication(source, stream, await plannedAsStreamed(target, group), {
              side: 'source',
              signal,
              onProgress: (published) => report({ published }),
            });
          });
          return groupSize(target, group);
        }),
      );
    },

    /** Notes that all of the group's tables are copied; its snapshot is forgotten and its stream may be subscribed to. @throws NotReadyYet (retryable) when a chunk is still to be done; SnapshotLost when the group was given up */
    async closeGroup({ scope, group }: GroupInput): Promise<Record<string, never>> {
      const session = { side: 'target', purpose: 'close copy group' } as const;
      return connections.withSession(scope.target, session, async (target) => {
        await requireLedger(target, scope.migration);
        // Rows and marks of the lanes are durable with this commit.
        await inTransaction(target, () => close(target, scope.migration, group));
        return {};
      });
    },

    /**
     * For a group whose snapshot is lost, after its lanes have stopped: finished tables stay, unfinished ones are emptied and wait for the
     * next group. A group without any finished table loses slot and publication. Gives how many tables are which.
     */
    async closeLostGroup({ scope, group }: GroupInput): Promise<{ finished: number; unfinished: number }> {
      return withHeartbeat({ emptied: 0 }, (beat) =>
        withSides(connections, scope, `giving up copy group ${group}`, beat.signal, async (sides) => {
          await requireLedger(sides.target, scope.migration);
          return closeLost(sides, groupStream(scope.migration, group), group, beat);
        }),
      );
    },

    /** Takes tables (`schema.table`, unquoted) out of their groups, empties them and has the next group copy them anew. Gives how many it were. */
    async recopyTables({ scope, tables }: { scope: PostgresScope; tables: string[] }): Promise<{ tables: number }> {
      return withHeartbeat({ emptied: 0 }, (beat) =>
        withSides(connections, scope, 'taking tables back to be copied again', beat.signal, async (sides) => {
          await requireLedger(sides.target, scope.migration);
          return recopy(sides, scope.migration, tables, beat);
        }),
      );
    },
  };
}

async function requirePlanned(target: Client): Promise<void> {
  if (await readSetting(target, 'planned')) return;
  throw failure(
    'PreconditionFailed',
    'The copy is not planned, so no table can join a copy group. Plan the chunks of the copy first.',
  );
}

async function close(target: Client, migration: string, group: number): Promise<void> {
  const { state } = await lockGroup(target, group);
  if (state === 'closed') return;
  if (state !== 'open') throw snapshotLost(groupStream(migration, group).name, 'the group was given up');
  const { rows } = await target.query<{ todo: string }>(
    `select count(*) as todo from ${ledgerSchema}.chunk c join ${ledgerSchema}.copied_table t on t.id = c.table_id
     where t.group_id = $1 and c.state = 'todo'`,
    [group],
  );
  const todo = Number(rows[0]?.todo);
  if (todo > 0) {
    throw failure(
      'NotReadyYet',
      `${todo} chunks of copy group ${group} are not in. Run the lanes again: they copy what is missing and nothing else.`,
      { todo },
    );
  }
  await target.query(
    `update ${ledgerSchema}.copy_group set state = 'closed', snapshot = null, holder_pid = null where id = $1`,
    [group],
  );
}
