// Password hashes pass from catalog to catalog. They are kept out of server logs, statement statistics and messages:
// where the target's logging cannot be silenced for the transaction, no hash is sent at all.
import type { Client } from 'pg';
import { quoteIdentifier } from '../identifier';

/** Role -> hash, null for none; undefined when we may not read them. */
export async function passwordHashes(source: Client): Promise<Map<string, string | null> | undefined> {
  const readable = await source.query<{ ok: string }>(
    `select has_table_privilege('pg_catalog.pg_authid', 'select') as ok`,
  );
  if (readable.rows[0]?.ok !== 't') return undefined;
  const { rows } = await source.query<{ name: string; hash: string | null }>(
    'select rolname as name, rolpassword as hash from pg_authid',
  );
  return new Map(rows.map(({ name, hash }) => [name, hash]));
}

/** What may write the text of a statement somewhere. The names with a dot belong to libraries that may not be there; setting them then means nothing. */
const quiet: Record<string, string> = {
  log_statement: 'none',
  log_duration: 'off',
  log_min_duration_statement: '-1',
  log_min_duration_sample: '-1',
  log_transaction_sample_rate: '0',
  log_min_error_statement: 'panic',
  'pg_stat_statements.track': 'none',
  'pgaudit.log': 'none',
};

/** Silences logging for the rest of the transaction; false when the server does not let us. */
export async function hushLogs(target: Client): Promise<boolean> {
  await target.query('savepoint hush');
  try {
    for (const [name, value] of Object.entries(quiet))
      await target.query('select set_config($1, $2, true)', [name, value]);
    await target.query('release savepoint hush');
    return true;
  } catch {
    await target.query('rollback to savepoint hush');
    return false;
  }
}

/** Sets a hash as it is; false when the server refuses it. The refusal is not passed on: it could quote the statement. */
export async function carryPassword(target: Client, role: string, hash: string): Promise<boolean> {
  await target.query('savepoint password');
  try {
    await target.query(`ALTER ROLE ${quoteIdentifier(role)} PASSWORD ${target.escapeLiteral(hash)}`);
    await target.query('release savepoint password');
    return true;
  } catch {
    await target.query('rollback to savepoint password');
    return false;
  }
}
