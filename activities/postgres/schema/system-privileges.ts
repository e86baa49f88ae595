// Privileges on what PostgreSQL itself brought. pg_dump carries them where they differ from what initdb gave, so the undo has
// to take them back; those of its languages it leaves out, so we carry them.
// What our role may not change stays as it is, and is named by the comparison that follows.
import type { Client } from 'pg';
import type { Catalog } from '../fidelity/catalog';
import { systemObjectsSql, systemPrivileges } from '../fidelity/families/system-objects';
import { renameOwner, setPrivileges } from './privileges';

export interface SystemObject {
  /** `function pg_catalog.pg_sleep(double precision)` */
  name: string;
  owner: string;
  /** As GRANT calls it: `routine pg_catalog.pg_sleep(double precision)`; for a column its table. */
  on: string;
  column: string | null;
  /** Normal form, as they are and as initdb left them. */
  privileges: string;
  initial: string;
}

export async function readSystemObjects(client: Client): Promise<SystemObject[]> {
  return (await client.query<SystemObject>(systemObjectsSql)).rows;
}

/** Puts back the privileges that the catalog says; what it does not list has those of initdb. */
export async function restoreSystemPrivileges(target: Client, before: Catalog): Promise<void> {
  await setAll(
    target,
    ({ name, initial }) => before.objects[`${systemPrivileges.family} ${name}`]?.properties['privileges'] ?? initial,
  );
}

/**
 * Gives the languages of PostgreSQL itself the privileges that they have on the source, where somebody changed them there.
 * @returns a line for each language that was changed or could not be
 */
export async function carryLanguagePrivileges(target: Client, source: SystemObject[]): Promise<string[]> {
  const changed = new Map(
    source
      .filter(({ name, privileges, initial }) => name.startsWith('language ') && privileges !== initial)
      .map((object) => [object.name, object]),
  );
  return setAll(target, ({ name, owner, privileges }) => {
    const object = changed.get(name);
    return object ? renameOwner(object.privileges, object.owner, owner).split('\n').sort().join('\n') : privileges;
  });
}

async function setAll(target: Client, wanted: (object: SystemObject) => string): Promise<string[]> {
  const said: string[] = [];
  // Tables first: taking a privilege on a table takes it on each of its columns.
  for (const columns of [false, true]) {
    const objects = (await readSystemObjects(target)).filter(({ column }) => (column !== null) === columns);
    for (const object of objects.filter((one) => wanted(one) !== one.privileges)) {
      const hindrance = await setWhereAllowed(target, object, wanted(object));
      said.push(`privileges on ${object.name}${hindrance === undefined ? '' : ` not carried: ${hindrance}`}`);
    }
  }
  return said;
}

/** @returns what stood in the way; then nothing was changed */
async function setWhereAllowed(target: Client, object: SystemObject, wanted: string): Promise<string | undefined> {
  const { on, owner, privileges, column } = object;
  // REVOKE by anybody else is only a warning.
  const { rows } = await target.query(
    `select from pg_roles where quote_ident(rolname) = $1 and pg_has_role(oid, 'usage')`,
    [owner],
  );
  if (rows.length === 0) return `it takes the role ${owner} or a superuser`;
  await target.query('savepoint system_privileges');
  try {
    await setPrivileges(target, on, owner, privileges, wanted, column ?? undefined);
    await target.query('release savepoint system_privileges');
    return undefined;
  } catch (error) {
    // Granted to a role that is not there.
    const { code, message } = error as { code?: string; message?: string };
    if (code !== '42704') throw error;
    await target.query('rollback to savepoint system_privileges');
    return message;
  }
}
