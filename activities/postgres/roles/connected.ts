// Which roles of the server stand or fall together. A role that another database needs, needs in turn the logins below it
// and the groups above it: nothing in the catalog says so but the memberships.
import type { ClientBase } from 'pg';
import { spread } from './needed';

/**
 * Memberships between roles, whoever made them. Predefined roles and our own connect nothing:
 * everybody may be in the former, and we are in whatever we made.
 */
export async function readTies(target: ClientBase): Promise<string[][]> {
  const { rows } = await target.query<{ group: string; member: string }>(
    `select distinct g.rolname as group, m.rolname as member
     from pg_auth_members a join pg_roles g on g.oid = a.roleid join pg_roles m on m.oid = a.member
     where g.rolname !~ '^pg_' and current_user not in (g.rolname, m.rolname)`,
  );
  return rows.map(({ group, member }) => [group, member]);
}

/** All roles connected with the given ones by ties in either direction, themselves included, by name. */
export function connectedWith(roles: string[], ties: string[][]): string[] {
  const neighbours = new Map<string, string[]>();
  for (const tie of ties) for (const role of tie) neighbours.set(role, [...(neighbours.get(role) ?? []), ...tie]);
  const names = new Set(roles);
  spread(names, (name) => neighbours.get(name) ?? []);
  return [...names].sort();
}

/** What holds some of the roles in other databases of the server: role -> names of the databases. */
export async function heldElsewhere(target: ClientBase, roles: string[]): Promise<Map<string, string>> {
  const { rows } = await target.query<{ role: string; databases: string }>(
    `select r.rolname as role, string_agg(distinct d.datname, ', ' order by d.datname) as databases
     from (
       select refobjid as role, case when dbid = 0 and classid = 'pg_database'::regclass then objid else dbid end as database
       from pg_shdepend where refclassid = 'pg_authid'::regclass
       union all select setrole, setdatabase from pg_db_role_setting
     ) hold join pg_roles r on r.oid = hold.role join pg_database d on d.oid = hold.database
     where d.datname <> current_database() and r.rolname = any($1)
     group by 1 order by 1`,
    [roles],
  );
  return new Map(rows.map(({ role, databases }) => [role, databases]));
}
