// Which attributes a role may hand out on its server. Before 16 CREATEROLE gave CREATEDB to anybody; since then only what one has.
import type { ClientBase } from 'pg';

export interface Powers {
  superuser: boolean;
  createDatabase: boolean;
  replication: boolean;
  bypassRowSecurity: boolean;
}

export const allPowers: Powers = { superuser: true, createDatabase: true, replication: true, bypassRowSecurity: true };

export async function readPowers(session: ClientBase): Promise<Powers> {
  const { rows } = await session.query<Record<keyof Powers, string>>(
    `select rolsuper as superuser, rolsuper or rolcreatedb or old as "createDatabase",
       rolsuper or rolreplication and not old as replication, rolsuper or rolbypassrls and not old as "bypassRowSecurity"
     from pg_roles, (select current_setting('server_version_num')::int < 160000 as old) version where rolname = current_user`,
  );
  const [row] = rows;
  return {
    superuser: row?.superuser === 't',
    createDatabase: row?.createDatabase === 't',
    replication: row?.replication === 't',
    bypassRowSecurity: row?.bypassRowSecurity === 't',
  };
}
