// Roles are server-wide, so a dump of one database leaves them behind: owners, grantees and the people who log in.
// All are carried in one transaction on the target that also notes in the ledger what was made, so that undo takes away that and nothing else.
import type { Client } from 'pg';
import { z } from 'zod';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import { quoteIdentifier } from '../identifier';
import { noteMilestone, openLedger, ownsLedger, readMilestone } from '../ledger';
import { ledgerSchema, type PostgresScope } from '../scope';
import { carryPassword, hushLogs, passwordHashes } from './passwords';
import { readPowers } from './powers';
import { readNeededRoles, type NeededRoles } from './needed';
import { createRole, grantMembership, resetForRole, setForRole } from './statements';

export interface CarriedRoles {
  /** Roles that are there by us, this attempt or an earlier one. */
  created: string[];
  /** Of these, those that can log in and have a password on the source, or may have one, that could not be carried. */
  withoutPassword: string[];
  /** Settings carried, for created and for existing roles. */
  settings: number;
  /** "app: SUPERUSER", "app in pg_monitor: …": what was left out on purpose or for want of privileges. */
  leftOut: string[];
}

export interface RemovedRoles {
  removed: string[];
  /** Roles that we made and that something else holds on to by now. */
  kept: { role: string; why: string }[];
}

const settingsMilestone = 'role-settings';
const settingsNote = z.object({ settings: z.number() });
const prefixes = { role: 'role:', membership: 'role-membership:', setting: 'role-setting:' } as const;

export function createRoleActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Makes the roles that the source database needs, with attributes, password hashes where they can be read, memberships,
     * settings and comments. Roles that exist keep their attributes and password; memberships and settings they lack are added.
     * @throws PreconditionFailed (not retryable) in mode `require` when roles are missing; AuthDenied when we may not create them
     */
    async carryRoles({ scope, mode }: { scope: PostgresScope; mode: 'create' | 'require' }): Promise<CarriedRoles> {
      return withHeartbeat(undefined, async ({ signal }) => {
        const { needed, hashes } = await connections.withSession(
          scope.source,
          { side: 'source', purpose: 'read roles', signal },
          async (source) => ({ needed: await readNeededRoles(source), hashes: await passwordHashes(source) }),
        );
        return connections.withSession(
          scope.target,
          { side: 'target', purpose: 'carry roles', signal },
          async (target) => {
            await openLedger(target, scope.migration);
            return inTransaction(target, () => carry(target, needed, hashes, mode));
          },
        );
      });
    },

    /** Drops the roles that we made, and takes back what we added to others. What others hold on to is kept and named. Nothing happens without our ledger. */
    async removeRoles({ scope }: { scope: PostgresScope }): Promise<RemovedRoles> {
      return withHeartbeat(undefined, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'remove roles', signal }, async (target) => {
          if (!(await ownsLedger(target, scope.migration))) return { removed: [], kept: [] };
          return remove(target);
        }),
      );
    },
  };
}

async function inTransaction<Result>(target: Client, work: () => Promise<Result>): Promise<Result> {
  await target.query('begin');
  try {
    // One attempt at a time, and none once the ledger is gone: an older attempt must not make roles behind the undo.
    await target.query(`select from ${ledgerSchema}.migration for update`);
    const result = await work();
    await target.query('commit');
    return result;
  } catch (error) {
    await target.query('rollback').catch(() => undefined);
    throw error;
  }
}

async function carry(
  target: Client,
  needed: NeededRoles,
  hashes: Map<string, string | null> | undefined,
  mode: 'create' | 'require',
): Promise<CarriedRoles> {
  const { major, database } = await whoAmI(target);
  const existing = new Set(
    (await target.query<{ name: string }>('select rolname as name from pg_roles')).rows.map(({ name }) => name),
  );
  const missing = needed.roles.filter(({ name }) => !existing.has(name));
  if (mode === 'require' && missing.length > 0) {
    throw failure(
      'PreconditionFailed',
      `${missing.length} roles of the source are missing on the target: ${missing
        .slice(0, 20)
        .map(({ name }) => name)
        .join(', ')}. Create them as preflight prints it, or set plan.roles to "create".`,
    );
  }
  const powers = await readPowers(target);
  for (const role of missing) {
    const made = createRole(role, powers);
    await noteMilestone(target, `${prefixes.role}${role.name}`, { leftOut: made.leftOut, withoutPassword: false });
    await target.query(made.sql);
    // An owner can only be given by a member of the role; superusers need no membership.
    if (!powers.superuser) await attempt(target, `GRANT ${quoteIdentifier(role.name)} TO CURRENT_USER`);
    if (role.comment !== undefined)
      await attempt(target, `COMMENT ON ROLE ${quoteIdentifier(role.name)} IS ${target.escapeLiteral(role.comment)}`);
  }
  const names = new Set([...existing, ...missing.map(({ name }) => name)]);
  const created = new Set(missing.map(({ name }) => name));
  const memberships = await carryMemberships(target, needed, names, created, major);
  const settings = await carrySettings(target, needed, names, created, database);
  const earlier = settingsNote.parse((await readMilestone(target, settingsMilestone)) ?? { settings: 0 });
  await noteMilestone(target, settingsMilestone, { settings: earlier.settings + settings.carried });
  await carryPasswords(target, missing, hashes);
  const ours = await notedRoles(target);
  return {
    created: ours.map(({ name }) => name),
    withoutPassword: ours.filter(({ withoutPassword }) => withoutPassword).map(({ name }) => name),
    settings: earlier.settings + settings.carried,
    leftOut: [
      ...ours.flatMap(({ name, leftOut }) => leftOut.map((attribute) => `${name}: ${attribute}`)),
      ...memberships,
      ...settings.leftOut,
    ].slice(0, 100),
  };
}

/** Last, since it silences the log: everything before it can be found there. */
async function carryPasswords(
  target: Client,
  created: NeededRoles['roles'],
  hashes: Map<string, string | null> | undefined,
): Promise<void> {
  const silent = await hushLogs(target);
  for (const { name, login } of created) {
    const hash = hashes?.get(name) ?? null;
    const lost = hash === null ? login && hashes === undefined : !(silent && (await carryPassword(target, name, hash)));
    if (!lost) continue;
    await target.query(
      `update ${ledgerSchema}.milestone set detail = detail || '{"withoutPassword": true}' where name = $1`,
      [`${prefixes.role}${name}`],
    );
  }
}

async function carryMemberships(
  target: Client,
  needed: NeededRoles,
  names: Set<string>,
  created: Set<string>,
  major: number,
): Promise<string[]> {
  const leftOut: string[] = [];
  const there = new Set(
    (
      await target.query<{ pair: string }>(
        `select json_build_array(g.rolname, m.rolname)::text as pair from pg_auth_members a join pg_roles g on g.oid = a.roleid join pg_roles m on m.oid = a.member`,
      )
    ).rows.map(({ pair }) => JSON.stringify(JSON.parse(pair))),
  );
  for (const membership of needed.memberships) {
    const { group, member } = membership;
    if (!created.has(member) && there.has(JSON.stringify([group, member]))) continue;
    const refusal = names.has(group)
      ? await attempt(target, grantMembership(membership, major))
      : `the target has no role ${group}`;
    if (refusal !== undefined) leftOut.push(`${member} in ${group}: ${refusal}`);
    else if (!created.has(member))
      await noteMilestone(target, `${prefixes.membership}${JSON.stringify([group, member])}`, { group, member });
  }
  return leftOut;
}

async function carrySettings(
  target: Client,
  needed: NeededRoles,
  names: Set<string>,
  created: Set<string>,
  database: string,
): Promise<{ carried: number; leftOut: string[] }> {
  const leftOut: string[] = [];
  let carried = 0;
  const there = new Set(
    (
      await target.query<{ key: string }>(
        `select json_build_array(r.rolname, s.setdatabase <> 0, split_part(c, '=', 1))::text as key
         from pg_db_role_setting s join pg_roles r on r.oid = s.setrole cross join unnest(s.setconfig) c
         where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))`,
      )
    ).rows.map(({ key }) => JSON.stringify(JSON.parse(key))),
  );
  for (const setting of needed.settings) {
    const { role, inDatabase, name } = setting;
    if (!names.has(role) || there.has(JSON.stringify([role, inDatabase, name]))) continue;
    const refusal = await attempt(target, setForRole(setting, database));
    if (refusal !== undefined) {
      leftOut.push(`setting ${name} of ${role}: ${refusal}`);
      continue;
    }
    carried += 1;
    if (!created.has(role))
      await noteMilestone(target, `${prefixes.setting}${JSON.stringify([role, inDatabase, name])}`, {
        role,
        inDatabase,
        name,
      });
  }
  return { carried, leftOut };
}

/** Runs a statement that may be refused without losing the transaction; answers with the refusal. */
async function attempt(target: Client, sql: string): Promise<string | undefined> {
  await target.query('savepoint attempt');
  try {
    await target.query(sql);
    await target.query('release savepoint attempt');
    return undefined;
  } catch (error) {
    await target.query('rollback to savepoint attempt');
    return error instanceof Error ? error.message : String(error);
  }
}

const settingNote = z.object({ role: z.string(), inDatabase: z.boolean(), name: z.string() });
const membershipNote = z.object({ group: z.string(), member: z.string() });

async function remove(target: Client): Promise<RemovedRoles> {
  const { database } = await whoAmI(target);
  const result: RemovedRoles = { removed: [], kept: [] };
  for (const { name, detail } of await noted(target, prefixes.setting)) {
    const { role, inDatabase, name: setting } = settingNote.parse(detail);
    await takeBack(target, name, [role], () =>
      attempt(target, resetForRole({ role, inDatabase, name: setting }, database)),
    );
  }
  for (const { name, detail } of await noted(target, prefixes.membership)) {
    const { group, member } = membershipNote.parse(detail);
    await takeBack(target, name, [group, member], () =>
      attempt(target, `REVOKE ${quoteIdentifier(group)} FROM ${quoteIdentifier(member)}`),
    );
  }
  for (const { name } of await notedRoles(target)) {
    const refusal = await takeBack(target, `${prefixes.role}${name}`, [name], async () => {
      await attempt(target, `REVOKE ALL ON DATABASE ${quoteIdentifier(database)} FROM ${quoteIdentifier(name)}`);
      return attempt(target, `DROP ROLE ${quoteIdentifier(name)}`);
    });
    if (refusal === undefined) result.removed.push(name);
    else result.kept.push({ role: name, why: refusal });
  }
  await target.query(`delete from ${ledgerSchema}.milestone where name = $1`, [settingsMilestone]);
  return result;
}

/** Undoes one noted thing together with its note; what is gone already is fine. */
async function takeBack(
  target: Client,
  milestone: string,
  roles: string[],
  undo: () => Promise<string | undefined>,
): Promise<string | undefined> {
  return inTransaction(target, async () => {
    const { rows } = await target.query<{ n: string }>('select count(*) as n from pg_roles where rolname = any($1)', [
      roles,
    ]);
    const refusal = Number(rows[0]?.n) === roles.length ? await undo() : undefined;
    if (refusal === undefined) await target.query(`delete from ${ledgerSchema}.milestone where name = $1`, [milestone]);
    return refusal;
  });
}

async function noted(target: Client, prefix: string): Promise<{ name: string; detail: unknown }[]> {
  const { rows } = await target.query<{ name: string; detail: string }>(
    `select name, detail::text as detail from ${ledgerSchema}.milestone where starts_with(name, $1) order by reached_at desc, name desc`,
    [prefix],
  );
  return rows.map(({ name, detail }) => ({ name, detail: JSON.parse(detail) as unknown }));
}

const roleNote = z.object({ leftOut: z.array(z.string()), withoutPassword: z.boolean() });

async function notedRoles(target: Client): Promise<({ name: string } & z.infer<typeof roleNote>)[]> {
  const rows = await noted(target, prefixes.role);
  return rows
    .map(({ name, detail }) => ({ name: name.slice(prefixes.role.length), ...roleNote.parse(detail) }))
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}

async function whoAmI(target: Client): Promise<{ major: number; database: string }> {
  const { rows } = await target.query<{ number: string; database: string }>(
    `select current_setting('server_version_num') as number, current_database() as database`,
  );
  return { major: Math.floor(Number(rows[0]?.number) / 10_000), database: rows[0]?.database ?? '' };
}
