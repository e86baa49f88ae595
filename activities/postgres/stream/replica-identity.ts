// Replica identities: what a published table's updates and deletes are told apart by. Without one the application's own updates would
// fail. What is changed is noted before, for both sides, and put back at the end.
import type { ClientBase } from 'pg';
import { failure } from '../../errors';
import type { PostgresConnections } from '../connection';
import { quoteIdentifier, quoteQualified } from '../identifier';
import { ownsLedger } from '../ledger';
import { ledgerSchema, type PostgresScope } from '../scope';
import type { WritingSide } from './names';
import { withShortLock } from './short-lock';
import { shownName, type TableRef } from './streamed-tables';

const namesShown = 20;

/** What decides on a table's identity, as its server has it. */
export interface IdentityFacts {
  /** `d` default, `n` nothing, `f` full, `i` an index. */
  identity: 'd' | 'n' | 'f' | 'i';
  /** The index of `i`; gone when somebody has dropped it. */
  index?: string;
  /** A primary key that is checked at once: what the default takes. */
  primaryKey: boolean;
  /** The narrowest other unique index that may be one: valid, whole, immediate, over written columns that are NOT NULL. */
  fit?: string;
}

/** What follows REPLICA IDENTITY, where it has to change; `keep` where it serves; undefined where only FULL would. */
export function neededIdentity({ identity, index, primaryKey, fit }: IdentityFacts): string | undefined {
  if (identity === 'f' || (identity === 'i' && index !== undefined)) return 'keep';
  if (primaryKey) return identity === 'd' ? 'keep' : 'default';
  return fit === undefined ? undefined : `using index ${quoteIdentifier(fit)}`;
}

/** What follows REPLICA IDENTITY for the way it is now. */
export function presentIdentity({ identity, index }: IdentityFacts): string {
  if (identity === 'f') return 'full';
  if (identity === 'd') return 'default';
  return identity === 'i' && index !== undefined ? `using index ${quoteIdentifier(index)}` : 'nothing';
}

export interface IdentityWork {
  /** Session on the target, where the ledger is. */
  ledger: ClientBase;
  /** Session on `side`. */
  client: ClientBase;
  side: WritingSide;
  tables: TableRef[];
  tablesWithoutKey: 'refuse' | 'full';
  signal?: AbortSignal;
}

/**
 * Gives every table that lacks one an identity. The former is noted first, for the other side as well: what is built there is as this side was.
 * @throws PreconditionFailed naming tables without a key where they are refused; NotReadyYet (retryable) when a table is never free
 */
export async function ensureIdentities(work: IdentityWork): Promise<void> {
  const { ledger, client, side, tables, tablesWithoutKey, signal } = work;
  const facts = await readFacts(client, tables);
  const changes = facts.flatMap((table) => {
    const needed = neededIdentity(table);
    return needed === 'keep' ? [] : [{ table, needed }];
  });
  const keyless = changes.filter(({ needed }) => needed === undefined).map(({ table }) => table);
  if (keyless.length > 0 && tablesWithoutKey === 'refuse') throw withoutKey(side, keyless);
  for (const { table, needed = 'full' } of changes) {
    await note(ledger, table, presentIdentity(table));
    await alter(client, side, table, needed, signal);
  }
}

/** Gives the target's tables the identities that their writers on the source have, once their indexes are built: rows are found by them. */
export async function followIdentities(target: ClientBase, signal?: AbortSignal): Promise<void> {
  const noted = await readNotes(target, 'target');
  await ensureIdentities({
    ledger: target,
    client: target,
    side: 'target',
    tables: noted,
    tablesWithoutKey: 'full',
    signal,
  });
}

/** Tables of a side, `schema.table`, that have another identity than the one they came with; the first twenty. */
export async function changedIdentities(target: ClientBase, side: WritingSide): Promise<string[]> {
  return (await readNotes(target, side)).slice(0, namesShown).map(shownName);
}

/** Puts former identities back on both sides and forgets them. Without a ledger there is nothing to put back. Gives the first twenty names. */
export async function restoreReplicaIdentities(
  connections: PostgresConnections,
  scope: PostgresScope,
  signal?: AbortSignal,
): Promise<string[]> {
  return connections.withSession(
    scope.target,
    { side: 'target', purpose: 'restore replica identities', signal },
    async (target) => {
      if (!(await ownsLedger(target, scope.migration)) || !(await notesExist(target))) return [];
      const restored = await restoreOn(target, target, 'target', signal);
      if ((await readNotes(target, 'source')).length === 0) return [...restored].slice(0, namesShown);
      const onSource = await connections.withSession(
        scope.source,
        { side: 'source', purpose: 'restore replica identities', signal },
        (source) => restoreOn(target, source, 'source', signal),
      );
      return [...new Set([...onSource, ...restored])].slice(0, namesShown);
    },
  );
}

async function restoreOn(
  ledger: ClientBase,
  client: ClientBase,
  side: WritingSide,
  signal?: AbortSignal,
): Promise<string[]> {
  const notes = await readNotes(ledger, side);
  const present = new Map((await readFacts(client, notes)).map((table) => [quoted(table), presentIdentity(table)]));
  const restored: string[] = [];
  for (const table of notes) {
    const now = present.get(quoted(table));
    if (now !== undefined && now !== table.former) {
      await alter(client, side, table, table.former, signal);
      restored.push(shownName(table));
    }
    await ledger.query(
      `delete from ${ledgerSchema}.replica_identity where side = $1 and schema_name = $2 and table_name = $3`,
      [side, table.schema, table.name],
    );
  }
  return restored;
}

const factsSql = `
select n.nspname as schema, c.relname as name, c.relreplident as identity,
  (select ic.relname from pg_index i join pg_class ic on ic.oid = i.indexrelid
    where i.indrelid = c.oid and i.indisreplident and i.indisvalid) as index,
  exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary and i.indisvalid and i.indimmediate) as primary_key,
  (select ic.relname from pg_index i join pg_class ic on ic.oid = i.indexrelid
    where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indisvalid and i.indpred is null and i.indexprs is null
      and not exists (select from unnest(i.indkey::int2[]) with ordinality as k(attnum, position)
        join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
        where k.position <= i.indnkeyatts and (not a.attnotnull or a.attgenerated <> ''))
    order by i.indnkeyatts, ic.relname collate "C" limit 1) as fit
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join unnest($1::text[], $2::text[]) as wanted(schema, name) on wanted.schema = n.nspname and wanted.name = c.relname
where c.relkind = 'r'
order by n.nspname collate "C", c.relname collate "C"`;

async function readFacts(client: ClientBase, tables: TableRef[]): Promise<(TableRef & IdentityFacts)[]> {
  const { rows } = await client.query<{
    schema: string;
    name: string;
    identity: IdentityFacts['identity'];
    index: string | null;
    primary_key: string;
    fit: string | null;
  }>(factsSql, [tables.map(({ schema }) => schema), tables.map(({ name }) => name)]);
  return rows.map(({ schema, name, identity, index, primary_key, fit }) => ({
    schema,
    name,
    identity,
    primaryKey: primary_key === 't',
    ...(index === null ? {} : { index }),
    ...(fit === null ? {} : { fit }),
  }));
}

async function alter(
  client: ClientBase,
  side: WritingSide,
  table: TableRef,
  identity: string,
  signal?: AbortSignal,
): Promise<void> {
  const doing = `Changing the replica identity of ${shownName(table)}`;
  await withShortLock(client, { side, doing, table, signal }, () =>
    client.query(`alter table only ${quoted(table)} replica identity ${identity}`),
  );
}

function quoted({ schema, name }: TableRef): string {
  return quoteQualified(schema, name);
}

async function note(ledger: ClientBase, { schema, name }: TableRef, former: string): Promise<void> {
  await ledger.query(
    `insert into ${ledgerSchema}.replica_identity (side, schema_name, table_name, former)
     values ('source', $1, $2, $3), ('target', $1, $2, $3) on conflict do nothing`,
    [schema, name, former],
  );
}

async function notesExist(target: ClientBase): Promise<boolean> {
  const { rows } = await target.query<{ there: string | null }>(
    `select to_regclass('${ledgerSchema}.replica_identity')::text as there`,
  );
  return Boolean(rows[0]?.there);
}

async function readNotes(target: ClientBase, side: WritingSide): Promise<(TableRef & { former: string })[]> {
  const { rows } = await target.query<TableRef & { former: string }>(
    `select schema_name as schema, table_name as name, former from ${ledgerSchema}.replica_identity
     where side = $1 order by schema_name collate "C", table_name collate "C"`,
    [side],
  );
  return rows;
}

function withoutKey(side: WritingSide, tables: TableRef[]): Error {
  const more = tables.length - namesShown;
  const names = `${tables.slice(0, namesShown).map(shownName).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  return failure(
    'PreconditionFailed',
    `Updates and deletes cannot be streamed from tables of the ${side} without a key: ${names}. Give each a primary key or a unique index over NOT NULL columns, or set cdc.tablesWithoutKey to "full" in the plan, then retry.`,
  );
}
