// Pieces of SQL that every family of objects is read with. Each takes column names of the query, never values.
import { ledgerSchema } from '../../scope';

/**
 * One family of objects. Its query gives a row an object: `name` (unique within the family, quoted as in SQL), optionally
 * `relation` (the table it belongs to), and its properties as further columns; NULL is "does not have it".
 * `$1` is the list of the relations that the plan leaves out.
 */
export interface Family {
  family: string;
  /** @param major version of the server that is read */
  sql: (major: number) => string;
  /** Not part of what a schema change is: rows, or what the migration itself does to the source. */
  volatile?: boolean;
}

export const userSchema = (namespace: string): string =>
  `${namespace}.nspname !~ '^pg_' and ${namespace}.nspname not in ('information_schema', '${ledgerSchema}')`;

/** Not a member of an extension: those come with CREATE EXTENSION. */
export const ownObject = (catalog: string, oid: string): string =>
  `not exists (select from pg_depend e where e.classid = '${catalog}'::regclass and e.objid = ${oid} and e.deptype = 'e')`;

/** Publications and event triggers of a streaming migration, any migration's: each side has others, and all of them go. */
export const notForStreams = (name: string): string => `${name} !~ '^${ledgerSchema}_[0-9a-f]{10}_'`;

export const included = (relation: string): string => `not ${relation} = any($1::oid[])`;

export const roleName = (oid: string): string =>
  `case ${oid} when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(${oid})) end`;

/** The normal form of an expression that gives privileges; empty when there are none. */
export const privileges = (exploded: string): string =>
  `(select coalesce(string_agg(token, e'\\n' order by token collate "C"), '') from (
    select ${roleName('x.grantee')} || '=' || x.privilege_type || case when x.is_grantable then '*' else '' end || '/' || ${roleName('x.grantor')} as token
    from aclexplode(${exploded}) x) tokens)`;

/** Line by line `grantee=PRIVILEGE/grantor`, `*` where it may be passed on. No privileges recorded means the defaults, and reads so. */
export const acl = (column: string, kind: string, owner: string): string =>
  privileges(`coalesce(${column}, acldefault('${kind}', ${owner}))`);

/** The same where there are no defaults: columns, default privileges. NULL when nothing is granted. */
export const aclWithoutDefault = (column: string): string => `nullif(${privileges(column)}, '')`;

export const options = (column: string): string =>
  `(select string_agg(o, ', ' order by o collate "C") from unnest(${column}) o)`;

/** Options of foreign objects; what looks like a secret is only said to be there. */
export const maskedOptions = (column: string): string =>
  `(select string_agg(case when o ~* '^[^=]*(password|secret|token|passcode|key)' then split_part(o, '=', 1) || '=(set)' else o end, ', ' order by o collate "C") from unnest(${column}) o)`;

export const qualified = (namespace: string, name: string): string => `format('%I.%I', ${namespace}, ${name})`;
