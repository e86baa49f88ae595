// Takes back what the notes say, each in a transaction of its own with its note: what others hold on to by now is told, not forced.
import type { Client } from 'pg';
import { quoteIdentifier } from '../identifier';
import { ledgerSchema } from '../scope';
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

export async function remove(target: Client): Promise<RemovedRoles> {
  const { database } = await whoAmI(target);
  const result: RemovedRoles = { removed: [], kept: [] };
  for (const { name, detail } of await noted(target, notePrefixes.setting)) {
    const { role, inDatabase, name: setting } = settingNote.parse(detail);
    await takeBack(target, name, [role], () =>
      attempt(target, resetForRole({ role, inDatabase, name: setting }, database)),
    );
  }
  for (const { name, detail } of await noted(target, notePrefixes.membership)) {
    const { group, member } = membershipNote.parse(detail);
    await takeBack(target, name, [group, member], () =>
      attempt(target, `REVOKE ${quoteIdentifier(group)} FROM ${quoteIdentifier(member)}`),
    );
  }
  for (const { name } of await notedRoles(target)) {
    const refusal = await takeBack(target, `${notePrefixes.role}${name}`, [name], async () => {
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
