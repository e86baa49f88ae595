// What pg_dump leaves to --create: owner, comment, privileges, connection limit and settings of the database itself. And what
// it leaves out altogether: privileges on the languages of PostgreSQL itself.
import type { Client } from 'pg';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { readDatabase } from '../fidelity/database-properties';
import { quoteLiteral } from '../identifier';
import type { PostgresScope } from '../scope';
import { renameOwner, setPrivileges } from './privileges';
import { setConnectionLimit } from './restore-properties';
import { readSettings, settingSql, type DatabaseSettings } from './settings';
import { carryLanguagePrivileges, readSystemObjects } from './system-privileges';
import { lockTargetSchema } from './target-lock';

export function createDatabasePropertyActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Gives the target database the properties of the source's, as they are without our fence. One transaction; a second run changes nothing.
     * @returns a line for each property that was changed or could not be
     * @throws AuthDenied when the role does not own the target database; TargetUnavailable, SourceUnavailable (retryable)
     */
    async carryDatabaseProperties({ scope }: { scope: PostgresScope }): Promise<{ carried: string[] }> {
      return withHeartbeat({}, async ({ signal }) => {
        const session = { side: 'source', purpose: 'database properties', signal } as const;
        const source = await connections.withSession(scope.source, session, async (client) => ({
          properties: (await readDatabase(client)).properties,
          settings: await readSettings(client),
          system: await readSystemObjects(client),
        }));
        return connections.withSession(scope.target, { ...session, side: 'target' }, async (target) => {
          await target.query('begin');
          await lockTargetSchema(target, 'alone');
          const carried = [
            ...(await carryOwner(target, source.properties)),
            ...(await carryOthers(target, source.properties)),
            ...(await carrySettings(target, source.settings)),
            ...(await carryLanguagePrivileges(target, source.system)),
          ];
          await target.query('commit');
          return { carried };
        });
      });
    },
  };
}

type Properties = Record<string, string>;

/** Only a superuser may give the database away without losing the rights that the migration needs. */
async function carryOwner(target: Client, source: Properties): Promise<string[]> {
  const { name, properties } = await readDatabase(target);
  const owner = source['owner'] ?? '';
  if (owner === properties['owner']) return [];
  const { rows } = await target.query<{ superuser: string; role: string }>(
    `select (select rolsuper from pg_roles where rolname = current_user) as superuser,
       exists (select from pg_roles where quote_ident(rolname) = $1) as role`,
    [owner],
  );
  if (rows[0]?.role !== 't') return [`owner not carried: there is no role ${owner} on the target`];
  if (rows[0].superuser !== 't') return [`owner not carried: it takes a superuser to give the database to ${owner}`];
  await target.query(`alter database ${name} owner to ${owner}`);
  return [`owner ${owner}`];
}

async function carryOthers(target: Client, source: Properties): Promise<string[]> {
  const { name, properties } = await readDatabase(target);
  const carried: string[] = [];
  const { comment, privileges = '', owner = '' } = source;
  if (comment !== properties['comment']) {
    await target.query(`comment on database ${name} is ${comment === undefined ? 'null' : quoteLiteral(comment)}`);
    carried.push('comment');
  }
  const present = properties['privileges'] ?? '';
  const presentOwner = properties['owner'] ?? '';
  // Where the owner could not be carried, the owner's privileges are those of the target's own.
  const wanted = renameOwner(privileges, owner, presentOwner);
  if (wanted.split('\n').sort().join() !== present.split('\n').sort().join()) {
    await setPrivileges(target, `database ${name}`, presentOwner, present, wanted);
    carried.push('privileges');
  }
  if (await setConnectionLimit(target, name, properties, source)) {
    carried.push(`connection limit ${source['connection limit']}`);
  }
  return carried;
}

async function carrySettings(target: Client, source: DatabaseSettings[]): Promise<string[]> {
  const { rows } = await target.query<{ name: string }>('select current_database() as name');
  const database = rows[0]?.name ?? '';
  const present = await readSettings(target);
  const carried: string[] = [];
  for (const { role, settings } of source) {
    const there = present.find((other) => other.role === role)?.settings ?? [];
    for (const setting of settings.filter((one) => !there.includes(one))) {
      const what = `${setting.slice(0, setting.indexOf('='))}${role === undefined ? '' : ` of ${role}`}`;
      await target.query('savepoint setting');
      try {
        await target.query(settingSql(database, role, setting));
        carried.push(`setting ${what}`);
      } catch (error) {
        // A setting that the newer version no longer has, or a role that was not carried: said, and found by the comparison.
        const { code, message } = error as { code?: string; message?: string };
        if (code !== '42704' && code !== '22023') throw error;
        await target.query('rollback to savepoint setting');
        carried.push(`setting ${what} not carried: ${message}`);
      }
    }
  }
  return carried;
}
