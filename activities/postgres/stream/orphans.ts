// What migrations have left on the two databases of a plan, whosoever they were: found by the names we give, the mark of a fence and the
// owner of the ledger. For the reaper, which knows what runs; nothing in here decides whether something is an orphan.
import type { Client } from 'pg';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { createFenceActivities } from '../fence';
import { readMark, type FenceMark } from '../fence/former';
import { quoteLiteral } from '../identifier';
import { dropLedger, ownsLedger, readLedgerOwner } from '../ledger';
import { ledgerSchema, type PostgresScope } from '../scope';
import { markerSchemaComment } from './marker';
import { migrationKey, type WritingSide } from './names';
import { dropMarkerSchema, findObjects } from './objects';
import { createRemovalActivities, removeStreamObjects } from './remove';
import { openSide, sidedFailure, type Sides } from './sides';

/** The two databases of a plan, and how their servers reach each other. */
export type TwoDatabases = Pick<PostgresScope, 'source' | 'target' | 'tables' | 'links'>;

export interface OwnedThing {
  where: WritingSide;
  kind: string;
  name: string;
  /** Ten hex digits; undefined for the empty schema of markers, which is nobody's any more. */
  key?: string;
  /** Where the thing itself tells it. */
  migration?: string;
}

export interface RemovalRequest {
  databases: TwoDatabases;
  key: string;
  /** Without it the ledger and a fence of it cannot be told from others', and stay. */
  migration?: string;
  lowerFences: boolean;
  /** Of migrations that run: their markers may lie in the schema of this one's ledger. */
  keysInUse: string[];
}

const anyKey = '[0-9a-f]{10}';
const keyOfName = new RegExp(`^(?:${ledgerSchema}|marker)_(${anyKey})_`);
const settings = { lock_timeout: '30s', statement_timeout: '5min' };

export function createOrphanActivities(dependencies: PostgresDependencies) {
  const { connections } = dependencies;
  const { removeStreams } = createRemovalActivities(dependencies);
  const { lowerFence } = createFenceActivities(dependencies);

  const onSide = <Result>(
    databases: TwoDatabases,
    side: WritingSide,
    signal: AbortSignal,
    work: (session: Client) => Promise<Result>,
  ): Promise<Result> => connections.withSession(databases[side], { side, purpose: 'reaper', signal, settings }, work);

  return {
    /** Everything of ours on both databases, of every migration. Changes nothing. @throws failures of the closed set: what cannot be looked at is not called empty */
    findOwned: ({ databases }: { databases: TwoDatabases }): Promise<OwnedThing[]> =>
      withHeartbeat('looking', async ({ signal }) => [
        ...(await onSide(databases, 'source', signal, (session) => ownedOn(session, 'source'))),
        ...(await onSide(databases, 'target', signal, (session) => ownedOn(session, 'target'))),
      ]),

    /**
     * Removes what one migration has left, and nothing of any other: streams, event triggers, markers; replica identities as they were; the
     * ledger last, since it says what those were. Can be called again after whatever went wrong.
     */
    removeOwned: ({
      databases,
      key,
      migration,
      lowerFences,
      keysInUse,
    }: RemovalRequest): Promise<{ removed: string[]; left: string[] }> =>
      withHeartbeat('removing', async ({ signal }) => {
        if (migration === undefined) return removeByKey(databases, key, signal);
        const scope: PostgresScope = { ...databases, migration };
        const { removed, left } = await removeStreams({ scope });
        if (left.length === 0) {
          const ledger = await onSide(databases, 'target', signal, (target) =>
            removeLedger(target, migration, keysInUse),
          );
          removed.push(...ledger.removed);
          left.push(...ledger.left);
        }
        for (const side of lowerFences ? (['source', 'target'] as const) : []) {
          const mark = await onSide(databases, side, signal, readMark);
          if (mark?.migration !== migration) continue;
          if ((await lowerFence({ scope, side })).lowered) removed.push(fenceWords(mark, side));
        }
        return { removed, left };
      }),

    /** The schema of markers on either side, where nothing is in it any more. */
    removeEmptySchemas: ({ databases }: { databases: TwoDatabases }): Promise<{ removed: string[] }> =>
      withHeartbeat('removing', async ({ signal }) => {
        const removed: string[] = [];
        for (const side of ['source', 'target'] as const)
          if (await onSide(databases, side, signal, dropMarkerSchema))
            removed.push(`schema ${ledgerSchema} of the ${side}`);
        return { removed };
      }),
  };

  async function removeByKey(
    databases: TwoDatabases,
    key: string,
    signal: AbortSignal,
  ): Promise<{ removed: string[]; left: string[] }> {
    const scope: PostgresScope = { ...databases, migration: `key ${key}` };
    const sides: Partial<Sides> = {};
    try {
      sides.source = await openSide(connections, scope, 'source', 'reaper', signal);
      sides.target = await openSide(connections, scope, 'target', 'reaper', signal);
      return await removeStreamObjects(sides, { key }, signal);
    } catch (error) {
      throw sidedFailure(error, 'reaper');
    } finally {
      await Promise.allSettled([sides.source?.end(), sides.target?.end()]);
    }
  }
}

export type OrphanActivities = ReturnType<typeof createOrphanActivities>;

async function ownedOn(session: Client, where: WritingSide): Promise<OwnedThing[]> {
  const streamed = (await findObjects(session, { key: anyKey })).map(({ kind, name }) => ({
    where,
    kind,
    name,
    key: keyOfName.exec(name)?.[1],
  }));
  const mark = await readMark(session);
  const owner = await readLedgerOwner(session);
  return [
    ...streamed,
    ...(owner === undefined ? [] : await ofLedger(session, where, owner)),
    ...(mark ? [{ where, kind: 'fence', name: mark.former.database, ...ownedBy(mark.migration) }] : []),
    ...((await isEmptyMarkerSchema(session)) ? [{ where, kind: 'schema', name: ledgerSchema }] : []),
  ];
}

/** The identities that it would put back on either side are on the list, since that changes tables of the application. */
async function ofLedger(session: Client, where: WritingSide, owner: string): Promise<OwnedThing[]> {
  const noted = await session.query<{ there: string | null }>(
    `select to_regclass('${ledgerSchema}.replica_identity')::text as there`,
  );
  // On a source it is the ledger of a migration whose target this is: what it calls its sides is another pair.
  const identities =
    where === 'target' && noted.rows[0]?.there
      ? (
          await session.query<{ side: WritingSide; name: string }>(
            `select side, format('%s.%s (was %s)', schema_name, table_name, former) as name from ${ledgerSchema}.replica_identity order by 1, 2`,
          )
        ).rows
      : [];
  return [
    ...identities.map(({ side, name }) => ({ where: side, kind: 'replica identity', name, ...ownedBy(owner) })),
    { where, kind: 'ledger', name: `schema ${ledgerSchema}`, ...ownedBy(owner) },
  ];
}

function ownedBy(migration: string): { key: string; migration: string } {
  return { key: migrationKey(migration), migration };
}

async function isEmptyMarkerSchema(session: Client): Promise<boolean> {
  const { rowCount } = await session.query(
    `select from pg_namespace n
      where n.nspname = '${ledgerSchema}' and obj_description(n.oid, 'pg_namespace') = ${quoteLiteral(markerSchemaComment)}
        and not exists (select from pg_class c where c.relnamespace = n.oid)
        and not exists (select from pg_proc p where p.pronamespace = n.oid)`,
  );
  return rowCount !== 0;
}

/** Dropping the schema takes everything in it along, so nothing of a migration that runs may be there. */
async function removeLedger(
  target: Client,
  migration: string,
  keysInUse: string[],
): Promise<{ removed: string[]; left: string[] }> {
  if (!(await ownsLedger(target, migration))) return { removed: [], left: [] };
  const words = `ledger of ${migration}, schema ${ledgerSchema} of the target`;
  const others = (await findObjects(target, { key: anyKey }))
    .filter(({ kind }) => kind === 'marker table' || kind === 'function')
    .filter(({ name }) => keysInUse.includes(keyOfName.exec(name)?.[1] ?? ''));
  if (others.length > 0)
    return {
      removed: [],
      left: [`${words}: ${others.map(({ name }) => name).join(', ')} in it is of a migration that runs`],
    };
  return { removed: (await dropLedger(target, migration)) ? [words] : [], left: [] };
}

function fenceWords({ former }: FenceMark, side: WritingSide): string {
  return `fence on ${former.database} of the ${side}`;
}
