// The database itself: owner, comment, privileges, connection limit, settings. Where our fence is up they read as they were
// before it, which is what the migration promises to keep.
import type { Client } from 'pg';
import { readMark } from '../fence/former';
import type { CatalogObject } from './catalog';
import { acl, roleName } from './families/fragments';

const databaseSql = `
select quote_ident(d.datname) as name, ${roleName('d.datdba')} as owner, shobj_description(d.oid, 'pg_database') as comment,
  d.datconnlimit as "connection limit", pg_encoding_to_char(d.encoding) as encoding,
  ${acl('d.datacl', 'd', 'd.datdba')} as privileges
from pg_database d where d.datname = current_database()`;

interface DatabaseRow {
  name: string;
  owner: string;
  comment: string | null;
  'connection limit': string;
  encoding: string;
  privileges: string;
}

export async function readDatabase(client: Client): Promise<CatalogObject & { name: string }> {
  const { rows } = await client.query<DatabaseRow>(databaseSql);
  const row = rows[0];
  if (!row) throw new Error('the current database is not in pg_database');
  const former = (await readMark(client))?.former;
  const comment = former ? former.comment : row.comment;
  const tokens = row.privileges.split('\n').filter(Boolean);
  const connect = (former?.grants ?? []).map(
    ({ grantee, grantable }) =>
      `${grantee === 'PUBLIC' ? grantee : quoteWhereNeeded(grantee)}=CONNECT${grantable ? '*' : ''}/${row.owner}`,
  );
  return {
    name: row.name,
    family: 'database',
    properties: {
      owner: row.owner,
      encoding: row.encoding,
      'connection limit': former ? String(former.connectionLimit) : row['connection limit'],
      privileges: [...new Set([...tokens, ...connect])].sort().join('\n'),
      ...(comment === null ? {} : { comment }),
    },
  };
}

/** As quote_ident does, apart from reserved words, which are no role names in practice. */
function quoteWhereNeeded(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
