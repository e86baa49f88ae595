// Default privileges have no DROP: they vanish when they say what holds without them.
import type { Client } from 'pg';
import { quoteIdentifier } from '../identifier';

const words: Record<string, string> = {
  r: 'tables',
  S: 'sequences',
  f: 'functions',
  T: 'types',
  n: 'schemas',
  L: 'large objects',
};
/** What everybody has without being granted it. */
const everybody: Record<string, string> = { f: 'execute', T: 'usage' };

interface DefaultAcl {
  role: string;
  schema: string | null;
  kind: string;
  grantees: string;
}

const defaultAclSql = `
select pg_get_userbyid(d.defaclrole) as role, n.nspname as schema, d.defaclobjtype as kind,
  (select coalesce(json_agg(distinct case x.grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(x.grantee)) end), '[]') from aclexplode(d.defaclacl) x)::text as grantees
from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace where d.oid = $1`;

/** Takes the default privileges with this oid back to the built-in ones; nothing happens when they are gone. */
export async function dropDefaultPrivileges(target: Client, oid: string): Promise<void> {
  const { rows } = await target.query<DefaultAcl>(defaultAclSql, [oid]);
  const row = rows[0];
  const word = row && words[row.kind];
  if (!row || word === undefined) return;
  const role = quoteIdentifier(row.role);
  const within = row.schema === null ? '' : ` in schema ${quoteIdentifier(row.schema)}`;
  const alter = `alter default privileges for role ${role}${within}`;
  for (const grantee of JSON.parse(row.grantees) as string[]) {
    await target.query(`${alter} revoke all on ${word} from ${grantee}`);
  }
  if (row.schema !== null) return;
  await target.query(`${alter} grant all on ${word} to ${role}`);
  const forAll = everybody[row.kind];
  if (forAll !== undefined) await target.query(`${alter} grant ${forAll} on ${word} to public`);
}
