// What we made is noted in the ledger, in the transaction that makes it: one note a role, added membership or added setting.
import type { Client } from 'pg';
import { z } from 'zod';
import { ledgerSchema } from '../scope';

/** How the names of the milestones begin. */
export const notePrefixes = { role: 'role:', membership: 'role-membership:', setting: 'role-setting:' } as const;
/** How many settings were carried, over all attempts. */
export const settingsMilestone = 'role-settings';

export const settingsNote = z.object({ settings: z.number() });
export const settingNote = z.object({ role: z.string(), inDatabase: z.boolean(), name: z.string() });
export const membershipNote = z.object({ group: z.string(), member: z.string() });
const roleNote = z.object({ leftOut: z.array(z.string()), withoutPassword: z.boolean() });

/** Notes under a prefix, the latest first. */
export async function noted(target: Client, prefix: string): Promise<{ name: string; detail: unknown }[]> {
  const { rows } = await target.query<{ name: string; detail: string }>(
    `select name, detail::text as detail from ${ledgerSchema}.milestone where starts_with(name, $1) order by reached_at desc, name desc`,
    [prefix],
  );
  return rows.map(({ name, detail }) => ({ name, detail: JSON.parse(detail) as unknown }));
}

/** The roles that are there by us, by name. */
export async function notedRoles(target: Client): Promise<({ name: string } & z.infer<typeof roleNote>)[]> {
  const rows = await noted(target, notePrefixes.role);
  return rows
    .map(({ name, detail }) => ({ name: name.slice(notePrefixes.role.length), ...roleNote.parse(detail) }))
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}

export async function whoAmI(target: Client): Promise<{ major: number; database: string }> {
  const { rows } = await target.query<{ number: string; database: string }>(
    `select current_setting('server_version_num') as number, current_database() as database`,
  );
  return { major: Math.floor(Number(rows[0]?.number) / 10_000), database: rows[0]?.database ?? '' };
}

/** One attempt at a time, and none once the ledger is gone: an older attempt must not make roles behind the undo. */
export async function inTransaction<Result>(target: Client, work: () => Promise<Result>): Promise<Result> {
  await target.query('begin');
  try {
    await target.query(`select from ${ledgerSchema}.migration for update`);
    const result = await work();
    await target.query('commit');
    return result;
  } catch (error) {
    await target.query('rollback').catch(() => undefined);
    throw error;
  }
}

/** Runs a statement that may be refused without losing the transaction; answers with the refusal. */
export async function attempt(target: Client, sql: string): Promise<string | undefined> {
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
