// The undo of everything that was built on the target: whatever is not in the inventory goes, what was changed is put back.
// In small transactions, so that ten thousand tables do not need ten thousand locks at once; it can be run again at any point.
import type { Client } from 'pg';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { applicationNamePrefix } from '../connection';
import { noteMilestone } from '../ledger';
import { ledgerSchema, type PostgresScope } from '../scope';
import { dropDefaultPrivileges } from './default-privileges';
import { listLargeObjects, listObjects, parseInventory, type Inventory, type InventoryObject } from './inventory';
import { preDataMilestone } from './pre-data';
import { restoreProperties } from './restore-properties';
import { clearedMilestone, lockTargetSchema } from './target-lock';

const objectsAtOnce = 100;
const largeObjectsAtOnce = 500;

export function createClearActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Puts the target back to the inventory, the ledger apart, and looks: `left` names what is still there and was not before.
     * @throws TargetUnavailable (retryable) while something else holds locks on what has to go
     */
    async clearTarget({
      scope,
      inventory: reference,
    }: {
      scope: PostgresScope;
      inventory: ArtifactReference;
    }): Promise<{ dropped: number; left: string[] }> {
      return withHeartbeat({ dropped: 0, total: 0 }, async ({ signal, report }) => {
        const before = parseInventory(await artifacts.read(reference));
        const session = { side: 'target', purpose: 'clear target', signal } as const;
        return connections.withSession(scope.target, session, (target) => putBack(target, before, report));
      });
    },
  };
}

/** Puts one database back to the inventory. @returns how much was dropped, and the first hundred of what is still there and was not before */
export async function putBack(
  target: Client,
  before: Inventory,
  report: (progress: { dropped: number; total: number }) => void = () => undefined,
): Promise<{ dropped: number; left: string[] }> {
  await target.query('set client_min_messages = error');
  await endOwnWriters(target);
  await alone(target, () => noteCleared(target));
  const total = (await extraObjects(target, before)).length + (await extraLargeObjects(target, before)).length;
  const progress = async (): Promise<void> =>
    report({ dropped: total - (await extraObjects(target, before)).length, total });
  for (const stage of stages) {
    const extra = (await extraObjects(target, before)).filter(stage);
    await inPieces(extra, objectsAtOnce, (piece) => alone(target, () => dropAll(target, piece)));
    await progress();
  }
  await inPieces(await extraLargeObjects(target, before), largeObjectsAtOnce, (oids) =>
    alone(target, () => target.query('select lo_unlink(oid) from unnest($1::oid[]) as oid', [oids])),
  );
  await alone(target, () => restoreProperties(target, before));
  await alone(target, () => clearLedger(target));
  const left = [
    ...(await extraObjects(target, before)).map(({ type, identity }) => `${type} ${identity}`),
    ...(await extraLargeObjects(target, before)).map((oid) => `large object ${oid}`),
  ];
  return { dropped: total - left.length, left: left.slice(0, 100) };
}

/** Before an object go those that would refuse, survive or multiply its end; CASCADE does the rest. */
const stages: ((object: InventoryObject) => boolean)[] = [
  ({ type }) => type === 'event trigger',
  ({ type }) => type === 'publication',
  ({ key }) => key.startsWith('pg_class '),
  ({ type }) => type === 'extension',
  ({ type }) => type === 'schema',
  ({ type }) => type !== 'user mapping',
  // One that names a server which had been there before.
  () => true,
];

async function extraObjects(target: Client, before: Inventory): Promise<InventoryObject[]> {
  const known = new Set(before.objects.map(({ key }) => key));
  const named = new Set(before.objects.map(({ type, identity }) => `${type} ${identity}`));
  // A schema public that was dropped and made again has another number and is the same thing.
  return (await listObjects(target)).filter(
    ({ key, type, identity }) => !known.has(key) && !(type === 'schema' && named.has(`${type} ${identity}`)),
  );
}

async function extraLargeObjects(target: Client, before: Inventory): Promise<string[]> {
  const known = new Set(before.largeObjects);
  return (await listLargeObjects(target)).filter((oid) => !known.has(oid));
}

async function inPieces<Item>(items: Item[], size: number, work: (piece: Item[]) => Promise<unknown>): Promise<void> {
  for (let start = 0; start < items.length; start += size) await work(items.slice(start, start + size));
}

/** One transaction with the sole right to change the schema. */
async function alone(target: Client, work: () => Promise<unknown>): Promise<void> {
  await target.query('begin');
  try {
    await lockTargetSchema(target, 'alone');
    await target.query(`set local lock_timeout = '10s'`);
    await work();
    await target.query('commit');
  } catch (error) {
    await target.query('rollback').catch(() => undefined);
    throw error;
  }
}

async function dropAll(target: Client, objects: InventoryObject[]): Promise<void> {
  for (const object of objects) {
    if (object.type === 'default acl') await dropDefaultPrivileges(target, object.key.split(' ')[1] ?? '');
    else await target.query(dropSql(object));
  }
}

const routines = new Set(['function', 'procedure', 'aggregate']);

function dropSql({ type, identity }: InventoryObject): string {
  if (routines.has(type)) return `drop routine if exists ${identity} cascade`;
  if (type === 'statistics object') return `drop statistics if exists ${identity} cascade`;
  if (type === 'foreign-data wrapper') return `drop foreign data wrapper if exists ${identity} cascade`;
  if (type === 'user mapping') {
    const [role = '', server = ''] = identity.split(' on server ');
    return `drop user mapping if exists for ${role} server ${server}`;
  }
  // Operators are identified by `schema.=(left,right)`, which DROP takes as it is.
  return `drop ${type} if exists ${identity} cascade`;
}

/** The workflow waits for its activities to stop before it undoes them; a session of ours that still writes is of a worker that is dead or was given up. */
async function endOwnWriters(target: Client): Promise<void> {
  await target.query(
    `select pg_terminate_backend(a.pid) from pg_stat_activity a
     where a.datname = current_database() and a.pid <> pg_backend_pid() and a.application_name like $1
       and exists (select from pg_locks l where l.pid = a.pid and l.locktype = 'relation' and l.granted
         and l.mode not in ('AccessShareLock', 'RowShareLock'))`,
    [`${applicationNamePrefix} %`],
  );
}

async function ledgerIsThere(target: Client): Promise<boolean> {
  const { rows } = await target.query<{ there: string | null }>(
    `select to_regclass('${ledgerSchema}.milestone')::text as there`,
  );
  return rows[0]?.there !== null;
}

async function noteCleared(target: Client): Promise<void> {
  if (await ledgerIsThere(target)) await noteMilestone(target, clearedMilestone);
}

async function clearLedger(target: Client): Promise<void> {
  if (!(await ledgerIsThere(target))) return;
  await target.query(`delete from ${ledgerSchema}.milestone where name = $1`, [preDataMilestone]);
  await target.query(`drop table if exists ${ledgerSchema}.post_data`);
}
