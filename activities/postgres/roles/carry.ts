// Makes the roles on the target inside the caller's transaction: roles, memberships, settings, then passwords.
import type { Client } from 'pg';
import { failure } from '../../errors';
import { quoteIdentifier } from '../identifier';
import { noteMilestone, readMilestone } from '../ledger';
import { ledgerSchema } from '../scope';
import type { NeededRoles } from './needed';
import { attempt, notedRoles, notePrefixes, settingsMilestone, settingsNote, whoAmI } from './notes';
import { carryPassword, hushLogs } from './passwords';
import { readPowers } from './powers';
import { createRole, grantMembership, setForRole } from './statements';

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

/** @throws PreconditionFailed in mode `require` when roles are missing; driver errors otherwise */
export async function carry(
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
    await noteMilestone(target, `${notePrefixes.role}${role.name}`, { leftOut: made.leftOut, withoutPassword: false });
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
      [`${notePrefixes.role}${name}`],
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
      await noteMilestone(target, `${notePrefixes.membership}${JSON.stringify([group, member])}`, { group, member });
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
      await noteMilestone(target, `${notePrefixes.setting}${JSON.stringify([role, inDatabase, name])}`, {
        role,
        inDatabase,
        name,
      });
  }
  return { carried, leftOut };
}
