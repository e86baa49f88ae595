// Puts back what was changed on objects that had been there before: owner, comment and privileges of the database, of its
// schemas, extensions and languages, privileges on system objects, and the settings kept with the database. Runs inside the
// caller's transaction.
import type { Client } from 'pg';
import { readCatalog, type CatalogObject } from '../fidelity/catalog';
import { readDatabase } from '../fidelity/database-properties';
import { quoteLiteral } from '../identifier';
import type { Inventory } from './inventory';
import { setPrivileges } from './privileges';
import { readSettings, settingSql, type DatabaseSettings } from './settings';
import { restoreSystemPrivileges } from './system-privileges';

/** Family of the catalog -> what SQL calls it. */
const words: Record<string, string> = { schema: 'schema', extension: 'extension', language: 'language' };

export async function restoreProperties(target: Client, before: Inventory): Promise<void> {
  const now = await readCatalog(target, { include: ['*.*'], exclude: [] });
  for (const [identity, object] of Object.entries(before.catalog.objects)) {
    const word = words[object.family];
    if (word === undefined) continue;
    const name = identity.slice(object.family.length + 1);
    const present = now.objects[identity];
    if (present) await restoreObject(target, `${word} ${name}`, object, present);
    else if (word === 'schema') {
      // Only the schema public can be gone: a source without it has none to carry.
      await target.query(`create schema ${name}`);
      await restoreObject(target, `schema ${name}`, object, { family: 'schema', properties: {} });
    }
  }
  const { name, properties } = await readDatabase(target);
  const database = before.catalog.objects['database'];
  if (database) {
    await restoreObject(target, `database ${name}`, database, { family: 'database', properties });
    await setConnectionLimit(target, name, properties, database.properties);
  }
  await restoreSystemPrivileges(target, before.catalog);
  await restoreSettings(target, before.settings);
}

async function restoreObject(
  target: Client,
  object: string,
  { properties: wanted }: CatalogObject,
  { properties: present }: CatalogObject,
): Promise<void> {
  const { owner, comment, privileges } = wanted;
  if (owner !== undefined && owner !== present['owner']) await target.query(`alter ${object} owner to ${owner}`);
  if (comment !== present['comment']) {
    await target.query(`comment on ${object} is ${comment === undefined ? 'null' : quoteLiteral(comment)}`);
  }
  if (privileges !== undefined && (privileges !== present['privileges'] || owner !== present['owner'])) {
    await setPrivileges(target, object, owner ?? '', present['privileges'] ?? '', privileges);
  }
}

/** Sets the limit where it differs. @returns whether it did */
export async function setConnectionLimit(
  target: Client,
  database: string,
  present: Record<string, string>,
  wanted: Record<string, string>,
): Promise<boolean> {
  const limit = wanted['connection limit'];
  if (limit === undefined || limit === present['connection limit']) return false;
  await target.query(`alter database ${database} connection limit ${Number(limit)}`);
  return true;
}

async function restoreSettings(target: Client, before: DatabaseSettings[]): Promise<void> {
  const { rows } = await target.query<{ name: string }>('select current_database() as name');
  const database = rows[0]?.name ?? '';
  const flat = (all: DatabaseSettings[]): { role?: string; setting: string }[] =>
    all.flatMap(({ role, settings }) => settings.map((setting) => ({ role, setting })));
  const has = (all: DatabaseSettings[], role: string | undefined, setting: string): boolean =>
    flat(all).some((other) => other.role === role && other.setting === setting);
  const now = await readSettings(target);
  for (const { role, setting } of flat(now)) {
    if (!has(before, role, setting)) await target.query(settingSql(database, role, setting, true));
  }
  for (const { role, setting } of flat(before)) {
    if (!has(now, role, setting)) await target.query(settingSql(database, role, setting));
  }
}

/** What is in one list and not in the other, as lines for people. */
export function readDifferences(what: string, before: string[], now: string[]): string[] {
  const only = (some: string[], others: string[]): string[] => {
    const set = new Set(others);
    return some.filter((item) => !set.has(item));
  };
  return [
    ...only(now, before).map((item) => `${what} ${item}: only now`),
    ...only(before, now).map((item) => `${what} ${item}: only before`),
  ];
}
