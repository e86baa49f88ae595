// The two scratch databases: found empty, and so everything that is in them later is ours to remove.
import type { Client } from 'pg';
import type { ConnectionReference } from '../../../plan/reference';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { loweringSql } from '../fence';
import { readMark } from '../fence/former';
import { quoteIdentifier } from '../identifier';
import { listed } from '../preflight/check';
import { putBack } from '../schema/clear';
import { parseInventory, readInventory, type Inventory } from '../schema/inventory';
import { ledgerSchema, type PostgresScope } from '../scope';
import { dropNamedRoles } from './roles';

export interface ScratchDatabase {
  side: 'source' | 'target';
  scope: PostgresScope;
  reference: ConnectionReference;
  signal: AbortSignal;
}

/** Every rehearsal of a migration is called so, with a number behind it. */
export function rehearsalPrefix({ migration }: Pick<PostgresScope, 'migration'>): string {
  return `${migration}-rehearsal-`;
}

/** Records an empty database as it is. @throws PreconditionFailed when something is in it */
export async function recordEmpty(
  { connections, artifacts }: PostgresDependencies,
  { scope, side, reference, signal }: ScratchDatabase,
): Promise<ArtifactReference> {
  return connections.withSession(reference, { side: 'scratch', purpose: 'scratch look', signal }, async (session) => {
    const inventory = await readInventory(session);
    const there = [
      ...inventory.objects.filter(({ key }) => !ofEveryDatabase.test(key)).map((object) => object.identity),
      ...inventory.largeObjects.map((oid) => `large object ${oid}`),
      ...((await hasLedger(session)) ? [`schema ${ledgerSchema}`] : []),
    ];
    if (there.length > 0) throw await notEmpty(session, side, there);
    return artifacts.put(scope.migration, `scratch-${side}.json`, JSON.stringify(inventory));
  });
}

/** The schema public, by its fixed number; a database made anew has it. */
const ofEveryDatabase = /^pg_namespace 2200$/;

async function hasLedger(session: Client): Promise<boolean> {
  return (await session.query(`select from pg_namespace where nspname = '${ledgerSchema}'`)).rowCount !== 0;
}

async function notEmpty(session: Client, side: string, there: string[]): Promise<Error> {
  const { rows } = await session.query<{ name: string }>('select current_database() as name');
  const name = quoteIdentifier(rows[0]?.name ?? '');
  return failure(
    'PreconditionFailed',
    `The scratch database of rehearsal.${side} is not empty: ${listed(there)}. A rehearsal removes only what it made; if nobody needs it: drop database ${name} with (force); create database ${name} template template0; then retry.`,
  );
}

/**
 * Puts a scratch database back to how it was found: a fence that a rehearsal left is lowered, everything made since is dropped, the ledger too.
 * @returns what is still there
 * @throws TargetConflict when it is fenced by another migration; TargetUnavailable (retryable)
 */
export async function emptyDatabase(
  { connections, artifacts }: PostgresDependencies,
  { scope, side, reference, inventory, signal }: ScratchDatabase & { inventory: ArtifactReference },
): Promise<{ dropped: number; left: string[] }> {
  const before: Inventory = parseInventory(await artifacts.read(inventory));
  return connections.withSession(
    reference,
    { side: 'scratch', purpose: 'scratch emptying', signal },
    async (session) => {
      await lowerOwnFence(session, scope);
      const emptied = await putBack(session, before);
      // Last: event triggers of the application, which are gone by now, may refuse a drop.
      await session.query(`drop schema if exists ${ledgerSchema} cascade`);
      // Made with the restore; the other database may be on the same server and be emptied first.
      const roles = side === 'source' ? await dropNamedRoles(session, scope.migration) : [];
      return { ...emptied, left: [...emptied.left, ...roles] };
    },
  );
}

async function lowerOwnFence(session: Client, scope: PostgresScope): Promise<void> {
  const mark = await readMark(session);
  if (!mark) return;
  if (!mark.migration.startsWith(rehearsalPrefix(scope)))
    throw failure(
      'TargetConflict',
      `A scratch database is fenced by the migration "${mark.migration}", not by a rehearsal of this one. Let that one end, or give another database in plan.rehearsal.`,
    );
  await session.query(loweringSql(mark.former).join(';\n'));
}
