// Room for a second copy of everything. PostgreSQL does not tell a client how much disk is free: where the target runs on the
// worker's machine we ask its file system, otherwise a person must know.
import { statfs } from 'node:fs/promises';
import { pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

export const diskChecks: PreflightCheck[] = [
  {
    name: 'disk-space',
    title: 'Target storage capacity is more than twice the expected data',
    side: 'target',
    needs: ['source', 'target'],
    look: targetSpace,
  },
  {
    name: 'artifact-space',
    title: 'The artifact store takes the files of the migration',
    side: 'worker',
    needs: ['source'],
    look: artifactSpace,
  },
];

async function targetSpace(context: CheckContext): Promise<Finding> {
  const { databaseBytes } = await context.server('source');
  const needed = databaseBytes * 2;
  const expected = `more than 2 x ${bytesText(databaseBytes)} free`;
  const free = await freeBesideUs(context);
  if (!free) {
    return {
      outcome: 'warn',
      found: `free space on the target could not be known: the target is not on the worker's machine, or its data directory is hidden`,
      expected,
      fix: `df -h on the target's machine, for the data directory and the WAL: make sure of ${bytesText(needed)}`,
    };
  }
  const found = `${bytesText(free.bytes)} free in ${free.folder}, the source has ${bytesText(databaseBytes)}`;
  if (free.bytes > needed) return pass(found);
  return {
    outcome: 'fail',
    found,
    expected,
    fix: `free ${bytesText(needed - free.bytes)} in ${free.folder}, or enlarge its file system`,
  };
}

async function freeBesideUs(context: CheckContext): Promise<{ bytes: number; folder: string } | undefined> {
  const { address } = await context.server('target');
  if (address && !/^(127\.|::1$)/.test(address)) return undefined;
  const rows = await context.rows<{ folder: string }>(
    'target',
    `select setting as folder from pg_settings where name = 'data_directory'`,
  );
  const folder = rows[0]?.folder;
  if (!folder) return undefined;
  try {
    const { bavail, bsize } = await statfs(folder);
    return { bytes: bavail * bsize, folder };
  } catch {
    // A forwarded port looks local too; then the folder is not here.
    return undefined;
  }
}

/** Dumps are compressed: a third of the database is ample, a tenth is hardly ever enough. */
const likelyShare = 1 / 3;
const leastShare = 1 / 10;
/** Reports, table lists, the archive of the schema. */
const smallFilesBytes = 64_000_000;

async function artifactSpace(context: CheckContext): Promise<Finding> {
  const { artifacts } = context.dependencies;
  const { scope, snapshot } = context.input;
  const probe = await artifacts.put(scope.migration, 'preflight-probe.txt', `probe of ${new Date().toISOString()}`);
  await artifacts.remove(probe);
  const { databaseBytes } = await context.server('source');
  const needed = (share: number): number => smallFilesBytes + (snapshot.kind === 'pg_dump' ? databaseBytes * share : 0);
  const expected = `${bytesText(needed(likelyShare))} free`;
  const free = await artifacts.freeBytes?.();
  if (free === undefined) return { outcome: 'warn', found: 'it takes files; how many is not known', expected };
  const found = `${bytesText(free)} free`;
  if (free >= needed(likelyShare)) return pass(found);
  return {
    outcome: free >= needed(leastShare) ? 'warn' : 'fail',
    found,
    expected,
    fix: 'free space in the directory of CUTOVER_ARTIFACTS (with s3:// in that of TMPDIR, through which files pass), or point the variable of every worker to a larger one and restart them',
  };
}

/** 12_345_678 -> "12.3 MB", decimal. */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let amount = bytes;
  let unit = 0;
  while (amount >= 1_000 && unit < units.length - 1) {
    amount /= 1_000;
    unit += 1;
  }
  return `${unit === 0 || amount >= 100 ? Math.round(amount) : amount.toFixed(1)} ${units[unit]}`;
}
