// Which roles of the source the migrated database needs, with everything they carry: those that own, are granted or are named
// in something there, those that can log in as members of them, and the roles above both.
// Server-wide roles that have nothing to do with the database stay behind.
import type { ClientBase } from 'pg';

export interface SourceRole {
  name: string;
  login: boolean;
  inherit: boolean;
  superuser: boolean;
  createRole: boolean;
  createDatabase: boolean;
  replication: boolean;
  bypassRowSecurity: boolean;
  /** -1: without limit. */
  connectionLimit: number;
  validUntil?: string;
  comment?: string;
}

export interface Membership {
  group: string;
  member: string;
  admin: boolean;
  inherit: boolean;
  set: boolean;
}

/** `ALTER ROLE … [IN DATABASE …] SET name = value`; the value as pg_db_role_setting keeps it. */
export interface RoleSetting {
  role: string;
  inDatabase: boolean;
  name: string;
  value: string;
}

export interface NeededRoles {
  /** By name. */
  roles: SourceRole[];
  memberships: Membership[];
  settings: RoleSetting[];
}

/** The roles named in this database: owners, grantees, policies, default privileges, settings; and those that read or write all data. */
const rootsSql = `
with here as (select oid, datdba from pg_database where datname = current_database())
select rolname as name from pg_roles where oid in (
  select d.refobjid from pg_shdepend d, here
  where d.refclassid = 'pg_authid'::regclass
    and (d.dbid = here.oid or (d.dbid = 0 and d.classid = 'pg_database'::regclass and d.objid = here.oid))
  union all select datdba from here
  union all select setrole from pg_db_role_setting, here where setdatabase = here.oid and setrole <> 0
  union all select c.relowner from pg_class c where c.oid >= 16384 and c.relnamespace <> 'pg_toast'::regnamespace
  union all select p.proowner from pg_proc p where p.oid >= 16384
  union all select t.typowner from pg_type t where t.oid >= 16384
  union all select n.nspowner from pg_namespace n where n.oid >= 16384
  union all select m.member from pg_auth_members m join pg_roles g on g.oid = m.roleid
    where g.rolname in ('pg_read_all_data', 'pg_write_all_data'))
and rolname !~ '^pg_'`;

const rolesSql = `
select rolname as name, rolcanlogin as login, rolinherit as inherit, rolsuper as superuser, rolcreaterole as create_role,
  rolcreatedb as create_database, rolreplication as replication, rolbypassrls as bypass, rolconnlimit as limit,
  rolvaliduntil as until, shobj_description(oid, 'pg_authid') as comment
from pg_roles`;

interface RoleRow {
  name: string;
  login: string;
  inherit: string;
  superuser: string;
  create_role: string;
  create_database: string;
  replication: string;
  bypass: string;
  limit: string;
  until: string | null;
  comment: string | null;
}

/** Since 16 a membership says for itself whether it inherits and may be set; before, the member said it. */
const membershipsSql = (major: number): string => `
select g.rolname as group, m.rolname as member, bool_or(a.admin_option) as admin,
  ${major >= 16 ? 'bool_or(a.inherit_option)' : 'bool_or(m.rolinherit)'} as inherit,
  ${major >= 16 ? 'bool_or(a.set_option)' : 'true'} as set
from pg_auth_members a join pg_roles g on g.oid = a.roleid join pg_roles m on m.oid = a.member
group by 1, 2 order by 1, 2`;

const settingsSql = `
select r.rolname as role, s.setdatabase <> 0 as in_database, to_json(s.setconfig)::text as settings
from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
order by 1, 2`;

export async function readNeededRoles(source: ClientBase): Promise<NeededRoles> {
  const major = Math.floor(
    Number((await source.query<{ n: string }>(`select current_setting('server_version_num') as n`)).rows[0]?.n) /
      10_000,
  );
  const roots = (await source.query<{ name: string }>(rootsSql)).rows.map(({ name }) => name);
  const all = new Map((await source.query<RoleRow>(rolesSql)).rows.map((row) => [row.name, roleOf(row)]));
  const memberships = (await source.query<Record<keyof Membership, string>>(membershipsSql(major))).rows.map(
    membershipOf,
  );
  const names = closeOver(roots, all, memberships);
  const settings = (
    await source.query<{ role: string; in_database: string; settings: string }>(settingsSql)
  ).rows.flatMap(({ role, in_database, settings: list }) =>
    (JSON.parse(list) as string[]).map((text) => ({
      role,
      inDatabase: in_database === 't',
      name: text.slice(0, text.indexOf('=')),
      value: text.slice(text.indexOf('=') + 1),
    })),
  );
  return {
    roles: [...names].sort().flatMap((name) => all.get(name) ?? []),
    memberships: memberships.filter(
      ({ group, member }) => names.has(member) && (names.has(group) || predefined(group)),
    ),
    settings: settings.filter(({ role }) => names.has(role)),
  };
}

/** Roles that every server has by itself. */
export function predefined(name: string): boolean {
  return name.startsWith('pg_');
}

/**
 * Roots, the members below them that can log in (with the groups in between), then every group above any of these.
 * Superusers below are left out: they need no membership, and none is made on the target.
 */
export function closeOver(
  roots: string[],
  all: ReadonlyMap<string, { login: boolean; superuser: boolean }>,
  memberships: Membership[],
): Set<string> {
  const names = new Set(roots);
  const below = new Map<string, string[]>();
  const above = new Map<string, string[]>();
  for (const { group, member } of memberships) {
    below.set(group, [...(below.get(group) ?? []), member]);
    above.set(member, [...(above.get(member) ?? []), group]);
  }
  const leadsToLogin = (name: string): boolean => {
    const role = all.get(name);
    if (!role || role.superuser) return false;
    return role.login || (below.get(name) ?? []).some(leadsToLogin);
  };
  spread(names, (name) => (below.get(name) ?? []).filter(leadsToLogin));
  spread(names, (name) => (above.get(name) ?? []).filter((group) => !predefined(group)));
  return names;
}

/** Adds to the names whatever can be reached from them. */
export function spread(names: Set<string>, neighbours: (name: string) => string[]): void {
  const queue = [...names];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    for (const next of neighbours(name)) {
      if (names.has(next)) continue;
      names.add(next);
      queue.push(next);
    }
  }
}

function roleOf(row: RoleRow): SourceRole {
  return {
    name: row.name,
    login: row.login === 't',
    inherit: row.inherit === 't',
    superuser: row.superuser === 't',
    createRole: row.create_role === 't',
    createDatabase: row.create_database === 't',
    replication: row.replication === 't',
    bypassRowSecurity: row.bypass === 't',
    connectionLimit: Number(row.limit),
    ...(row.until === null ? {} : { validUntil: row.until }),
    ...(row.comment === null ? {} : { comment: row.comment }),
  };
}

function membershipOf(row: Record<keyof Membership, string>): Membership {
  return {
    group: row.group,
    member: row.member,
    admin: row.admin === 't',
    inherit: row.inherit === 't',
    set: row.set === 't',
  };
}
