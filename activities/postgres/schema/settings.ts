// Settings kept with a database: ALTER DATABASE … SET, ALTER ROLE … IN DATABASE … SET. What our fence sets is never part of them.
import type { Client } from 'pg';
import { quoteIdentifier, quoteLiteral } from '../identifier';

export interface DatabaseSettings {
  /** Undefined: for everybody. */
  role?: string;
  /** `work_mem=7MB`, as in `pg_db_role_setting.setconfig`. */
  settings: string[];
}

/** The belt and the mark of the fence. */
const fenceOwn = /^(default_transaction_read_only|cutover\..*)=/;

const settingsSql = `
select case s.setrole when 0 then null else pg_get_userbyid(s.setrole) end as role, to_json(s.setconfig)::text as settings
from pg_db_role_setting s where s.setdatabase = (select oid from pg_database where datname = current_database())
order by role nulls first`;

export async function readSettings(client: Client): Promise<DatabaseSettings[]> {
  const { rows } = await client.query<{ role: string | null; settings: string }>(settingsSql);
  return rows.flatMap(({ role, settings }) => {
    const all = JSON.parse(settings) as string[];
    const own = role === null ? all.filter((setting) => !fenceOwn.test(setting)) : all;
    if (own.length === 0) return [];
    return [role === null ? { settings: own } : { role, settings: own }];
  });
}

/** The statement for one setting, or for taking it back. */
export function settingSql(database: string, role: string | undefined, setting: string, reset = false): string {
  const name = setting.slice(0, setting.indexOf('='));
  const value = setting.slice(setting.indexOf('=') + 1);
  const whose =
    role === undefined
      ? `alter database ${quoteIdentifier(database)}`
      : `alter role ${quoteIdentifier(role)} in database ${quoteIdentifier(database)}`;
  const parameter = name.split('.').map(quoteIdentifier).join('.');
  return reset ? `${whose} reset ${parameter}` : `${whose} set ${parameter} = ${valueSql(name, value)}`;
}

/** Lists of names are stored as SQL and would become one name if they were quoted as a whole. */
const lists = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

function valueSql(name: string, value: string): string {
  if (!lists.has(name)) return quoteLiteral(value);
  const items = [...value.matchAll(/"((?:[^"]|"")*)"|([^\s,"]+)/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  );
  return items.length > 0 ? items.map(quoteLiteral).join(', ') : `''`;
}
