// Owners and privileges are left out of a restore, but policies and user mappings name roles, and without them it fails. Such roles are made on
// the scratch server, unable to log in, marked as ours by their comment, and dropped when it is emptied.
import type { Client } from 'pg';
import { quoteIdentifier, quoteLiteral } from '../identifier';

const mark = (migration: string): string => `cutover: for the rehearsal of ${migration}`;

const namedSql = `
select r.rolname as name from pg_roles r
 where r.oid in (select unnest(polroles) from pg_policy union select umuser from pg_user_mappings)
 order by 1`;

/** Roles that the archive of this source names. */
export async function readNamedRoles(source: Client): Promise<string[]> {
  return (await source.query<{ name: string }>(namedSql)).rows.map(({ name }) => name);
}

/** Makes those that are missing. */
export async function makeNamedRoles(scratch: Client, names: string[], migration: string): Promise<void> {
  const { rows } = await scratch.query<{ name: string }>('select rolname as name from pg_roles');
  const there = new Set(rows.map(({ name }) => name));
  for (const name of names.filter((one) => !there.has(one))) {
    const role = quoteIdentifier(name);
    await scratch.query(
      `begin; create role ${role} nologin; comment on role ${role} is ${quoteLiteral(mark(migration))}; commit`,
    );
  }
}

/** Drops those that we made. @returns what could not be dropped, and why */
export async function dropNamedRoles(scratch: Client, migration: string): Promise<string[]> {
  const { rows } = await scratch.query<{ name: string }>(
    `select rolname as name from pg_roles where shobj_description(oid, 'pg_authid') = $1`,
    [mark(migration)],
  );
  const left: string[] = [];
  for (const { name } of rows) {
    try {
      await scratch.query(`drop role if exists ${quoteIdentifier(name)}`);
    } catch (error) {
      left.push(`role ${name} (${error instanceof Error ? error.message : String(error)})`);
    }
  }
  return left;
}
