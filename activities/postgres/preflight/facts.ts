// What the decision record and the phases need to know of both sides, in one small piece.
import type { CheckContext, CheckedSide } from './context';
import type { ServerFacts } from './server-facts';

export interface MigrationFacts {
  /** "15.18"; "unknown" where a side could not be reached (then a check has failed). */
  sourceVersion: string;
  targetVersion: string;
  sourceMajor: number;
  targetMajor: number;
  databaseBytes: number;
  /** Selected tables and partition leaves. */
  tables: number;
  tablesWithoutKey: number;
  largestTable?: { table: string; bytes: number };
  largeObjects: number;
  walLevel: string;
  logicalReplicationPossible: boolean;
  sourceUser: string;
  targetUser: string;
}

const unknown = { version: 'unknown', major: 0, user: 'unknown', databaseBytes: 0 };

/** Never throws: what could not be read is 0 or "unknown", and the check that needed it has failed. */
export async function gatherFacts(context: CheckContext): Promise<MigrationFacts> {
  const source = await serverOr(context, 'source');
  const target = await serverOr(context, 'target');
  const tables = await context.tables().catch(() => []);
  const largest = tables.reduce<{ table: string; bytes: number } | undefined>(
    (best, { schema, name, bytes }) =>
      best === undefined || bytes > best.bytes ? { table: `${schema}.${name}`, bytes } : best,
    undefined,
  );
  const wal = await readWal(context).catch(() => ({ level: 'unknown', may: false }));
  context.signal.throwIfAborted();
  return {
    sourceVersion: source.version,
    targetVersion: target.version,
    sourceMajor: source.major,
    targetMajor: target.major,
    databaseBytes: source.databaseBytes,
    tables: tables.length,
    tablesWithoutKey: tables.filter(({ key }) => !key).length,
    ...(largest ? { largestTable: largest } : {}),
    largeObjects: Number(
      await context.value('source', 'select count(*) from pg_largeobject_metadata').catch(() => '0'),
    ),
    walLevel: wal.level,
    logicalReplicationPossible: wal.level === 'logical' && wal.may,
    sourceUser: source.user,
    targetUser: target.user,
  };
}

async function serverOr(
  context: CheckContext,
  side: CheckedSide,
): Promise<Pick<ServerFacts, 'version' | 'major' | 'user' | 'databaseBytes'>> {
  return context.reachable(side) ? context.server(side).catch(() => unknown) : unknown;
}

/** Newer servers raise the level on demand and tell the one in force apart. */
async function readWal(context: CheckContext): Promise<{ level: string; may: boolean }> {
  const rows = await context.rows<{ level: string; may: string }>(
    'source',
    `select coalesce(current_setting('effective_wal_level', true), current_setting('wal_level')) as level,
       (rolsuper or rolreplication) as may from pg_roles where rolname = current_user`,
  );
  return { level: rows[0]?.level ?? 'unknown', may: rows[0]?.may === 't' };
}
