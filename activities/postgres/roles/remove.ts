// Takes back what the notes say, together with the notes. Roles connected by membership go in one transaction or stay together:
// what another database needs, or what cannot be dropped, keeps all of them. What is kept is told, not forced.
import type { Client } from 'pg';
import { quoteIdentifier } from '../identifier';
import { ledgerSchema } from '../scope';
import { connectedWith, heldElsewhere, readTies } from './connected';
import {
  attempt,
  inTransaction,
  membershipNote,
  noted,
  notedRoles,
  notePrefixes,
  settingNote,
  settingsMilestone,
  whoAmI,
} from './notes';
import { resetForRole } from './statements';

export interface RemovedRoles {
  removed: string[];
  /** Roles that we made and that something else holds on to by now. */
  kept: { role: string; why: string }[];
}

/** One noted thing and how it is undone. */
interface Noted {
  milestone: string;
  /** The roles that it is about. */
  roles: string[];
  /** The role that we made, where it is one. */
  made?: string;
  /** Answers with the refusal of the server. */
  undo: () => Promise<string | undefined>;
}

export async function remove(target: Client): Promise<RemovedRoles> {
  const { database } = await whoAmI(target);
  const { here, memberships, ...rest } = await readNotes(target, database);
  for (const setting of here) await inTransaction(target, () => takeBack(target, setting));
  const ties = [...(await readTies(target)), ...memberships.map(({ roles }) => roles)];
  const circles = new Map<string, { roles: string[]; things: Noted[] }>();
  for (const thing of [...rest.settings, ...memberships, ...rest.roles]) {
    const roles = connectedWith(thing.roles, ties);
    const circle = circles.get(JSON.stringify(roles)) ?? { roles, things: [] };
    circles.set(JSON.stringify(roles), circle);
    circle.things.push(thing);
  }
  const result: RemovedRoles = { removed: [], kept: [] };
  for (const { roles, things } of circles.values()) {
    const made = things.flatMap((thing) => thing.made ?? []);
    const holds = await inTransaction(target, () => takeBackTogether(target, roles, things));
    if (holds.size === 0) result.removed.push(...made);
    else result.kept.push(...made.map((role) => ({ role, why: whyKept(role, holds) })));
  }
  await target.query(`delete from ${ledgerSchema}.milestone where name = $1`, [settingsMilestone]);
  return result;
}

/** Everything noted, in the order in which it is undone; `here` are settings that concern this database alone. */
async function readNotes(
  target: Client,
  database: string,
): Promise<Record<'here' | 'settings' | 'memberships' | 'roles', Noted[]>> {
  const settings = (await noted(target, notePrefixes.setting)).map(({ name: milestone, detail }) => {
    const { role, inDatabase, name } = settingNote.parse(detail);
    const undo = () => attempt(target, resetForRole({ role, inDatabase, name }, database));
    return { milestone, roles: [role], inDatabase, undo };
  });
  const memberships = (await noted(target, notePrefixes.membership)).map(({ name: milestone, detail }) => {
    const { group, member } = membershipNote.parse(detail);
    const undo = () => attempt(target, `REVOKE ${quoteIdentifier(group)} FROM ${quoteIdentifier(member)}`);
    return { milestone, roles: [group, member], undo };
  });
  const roles = (await notedRoles(target)).map(({ name }) => ({
    milestone: `${notePrefixes.role}${name}`,
    roles: [name],
    made: name,
    undo: async () => {
      await attempt(target, `REVOKE ALL ON DATABASE ${quoteIdentifier(database)} FROM ${quoteIdentifier(name)}`);
      return attempt(target, `DROP ROLE ${quoteIdentifier(name)}`);
    },
  }));
  return {
    here: settings.filter(({ inDatabase }) => inDatabase),
    settings: settings.filter(({ inDatabase }) => !inDatabase),
    memberships,
    roles,
  };
}

/** Undoes all of it, or nothing when one of the roles is held; answers with what holds which role. */
async function takeBackTogether(target: Client, roles: string[], things: Noted[]): Promise<Map<string, string>> {
  const elsewhere = await heldElsewhere(target, roles);
  if (elsewhere.size > 0) {
    return new Map([...elsewhere].map(([role, databases]) => [role, `needed by another database: ${databases}`]));
  }
  const refusals = new Map<string, string>();
  await target.query('savepoint together');
  for (const thing of things) {
    const refusal = await takeBack(target, thing);
    if (refusal !== undefined && thing.made !== undefined) refusals.set(thing.made, refusal);
  }
  if (refusals.size > 0) await target.query('rollback to savepoint together');
  return refusals;
}

/** Undoes one noted thing together with its note; what is gone already is fine. */
async function takeBack(target: Client, { milestone, roles, undo }: Noted): Promise<string | undefined> {
  const { rows } = await target.query<{ n: string }>('select count(*) as n from pg_roles where rolname = any($1)', [
    roles,
  ]);
  const refusal = Number(rows[0]?.n) === roles.length ? await undo() : undefined;
  if (refusal === undefined) await target.query(`delete from ${ledgerSchema}.milestone where name = $1`, [milestone]);
  return refusal;
}

function whyKept(role: string, holds: Map<string, string>): string {
  const own = holds.get(role);
  if (own !== undefined) return own;
  const others = [...holds].map(([other, why]) => `${other} (${why})`);
  return `connected by membership with ${others.slice(0, 3).join('; ')}`;
}
