// What one server says of itself: version, identity, who we are there, and the limits that checks compare.
import type { Client } from 'pg';

export interface ServerFacts {
  /** "15.18". */
  version: string;
  major: number;
  user: string;
  superuser: boolean;
  createRole: boolean;
  database: string;
  databaseOid: string;
  /** pg_control_system's, where the role may ask for it. */
  systemIdentifier?: string;
  /** To the microsecond: two clusters never share it, copies of one data directory do not either. */
  startedAt: string;
  /** Of the server's end of the connection; undefined for a local socket. */
  address?: string;
  inRecovery: boolean;
  /** Protocol of the connection, for instance TLSv1.3; undefined without TLS. */
  tls?: string;
  databaseBytes: number;
}

interface ServerRow {
  version: string;
  number: string;
  user: string;
  superuser: string;
  create_role: string;
  database: string;
  database_oid: string;
  control_readable: string;
  started_at: string;
  address: string | null;
  in_recovery: string;
  tls: string | null;
  bytes: string;
}

const serverSql = `
select current_setting('server_version') as version, current_setting('server_version_num') as number,
  current_user as user, r.rolsuper as superuser, r.rolcreaterole as create_role,
  d.datname as database, d.oid as database_oid,
  has_function_privilege('pg_control_system()', 'execute') as control_readable,
  extract(epoch from pg_postmaster_start_time())::text as started_at,
  host(inet_server_addr()) as address,
  pg_is_in_recovery() as in_recovery,
  (select s.version from pg_stat_ssl s where s.pid = pg_backend_pid() and s.ssl) as tls,
  pg_database_size(d.oid) as bytes
from pg_database d, pg_roles r
where d.datname = current_database() and r.rolname = current_user`;

export async function readServer(session: Client): Promise<ServerFacts> {
  const { rows } = await session.query<ServerRow>(serverSql);
  const row = rows[0];
  if (!row) throw new Error('the server does not know the database or role of the connection');
  return {
    version: row.version.split(' ')[0] ?? row.version,
    major: Math.floor(Number(row.number) / 10_000),
    user: row.user,
    superuser: row.superuser === 't',
    createRole: row.create_role === 't',
    database: row.database,
    databaseOid: row.database_oid,
    ...(row.control_readable === 't' ? { systemIdentifier: await systemIdentifier(session) } : {}),
    startedAt: row.started_at,
    ...(row.address ? { address: row.address } : {}),
    inRecovery: row.in_recovery === 't',
    ...(row.tls ? { tls: row.tls } : {}),
    databaseBytes: Number(row.bytes),
  };
}

async function systemIdentifier(session: Client): Promise<string | undefined> {
  const { rows } = await session.query<{ id: string }>('select system_identifier::text as id from pg_control_system()');
  return rows[0]?.id;
}

/** Whether two sessions reached one running server, by whatever addresses and with whatever roles: only some may read the identifier. */
export function sameServer(left: ServerFacts, right: ServerFacts): boolean {
  const [one, other] = [left.systemIdentifier, right.systemIdentifier];
  return left.startedAt === right.startedAt && (one === undefined || other === undefined || one === other);
}

export function sameDatabase(left: ServerFacts, right: ServerFacts): boolean {
  return sameServer(left, right) && left.databaseOid === right.databaseOid;
}
