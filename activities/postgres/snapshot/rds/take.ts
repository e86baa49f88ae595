// Takes the snapshot and waits for it. The service works on by itself, so whoever comes later (another attempt, another worker) finds what was
// begun by its name, which says the migration and the run, and goes on waiting.
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatDurationMs, parseDurationMs } from '../../../../plan/duration';
import type { RdsSnapshot } from '../../../../plan/postgres';
import { errorName } from '../../../aws/errors';
import { failure } from '../../../errors';
import { migrationKey } from '../../stream/names';
import { describeSubject, openRds, type RdsService, type RdsSnapshotState } from './api';
import { restoreCommands } from './restore';

/** What the service says of the snapshot when it is available. */
export interface RdsSnapshotReference {
  /** `cutover-orders-to-18-1f3a5c7e90-5d41402a-20260521101500`. */
  id: string;
  arn?: string;
  of: { kind: 'instance' | 'cluster'; id: string };
  engine: string;
  engineVersion: string;
  /** Of the storage that was allocated, in gigabytes as the service counts them; undefined where it does not say. */
  allocatedGigabytes?: number;
  encrypted: boolean;
  /** Commands of the aws cli, one a line, to be run in order; into a new instance, never over the old one. */
  restore: string[];
}

/** What the heartbeat of a snapshot by RDS shows. */
export interface RdsProgress {
  doing: string;
  /** As the service estimates it. */
  percent: number;
}

export interface RdsContext {
  environment: NodeJS.ProcessEnv;
  signal: AbortSignal;
  report: (progress: RdsProgress) => void;
}

/** Whose snapshot it is: one for each run of a migration, however often the step is tried. */
export interface RdsOccasion {
  migration: string;
  /** Of the workflow. */
  runId: string;
  /** When the step was begun, milliseconds since 1970: part of the name, and the beginning of the plan's time limit. */
  begunAt: number;
}

/** RDS takes minutes, and counts calls. */
const usualPollMs = 5_000;

/**
 * Takes the snapshot, or goes on waiting for the one that an attempt before has begun, until it is available. Cancellation ends the waiting;
 * the service goes on.
 * @throws PreconditionFailed for no such instance, a snapshot that failed, or the plan's time limit; AuthDenied for no credentials, or naming
 *   the IAM action that is missing; SourceUnavailable (retryable)
 */
export async function takeRdsSnapshot(
  occasion: RdsOccasion,
  snapshot: RdsSnapshot,
  context: RdsContext,
  pollMs = usualPollMs,
): Promise<RdsSnapshotReference> {
  const { signal } = context;
  const service = await openRds(snapshot, context.environment, signal);
  try {
    const subject = await describeSubject(service, signal);
    const taken = await makeAvailable(service, { occasion, timeout: snapshot.timeout, context, pollMs });
    return {
      id: taken.id,
      arn: taken.arn,
      of: { kind: subject.kind, id: subject.id },
      engine: taken.engine,
      engineVersion: taken.engineVersion,
      allocatedGigabytes: taken.allocatedGigabytes,
      encrypted: taken.encrypted,
      restore: restoreCommands(subject, taken.id, service.region),
    };
  } finally {
    service.close();
  }
}

interface Wait {
  occasion: RdsOccasion;
  timeout: string;
  context: RdsContext;
  pollMs: number;
}

async function makeAvailable(
  service: RdsService,
  { occasion, timeout, context: { signal, report }, pollMs }: Wait,
): Promise<RdsSnapshotState> {
  const { asked, calls, words } = service;
  const limitMs = parseDurationMs(timeout) ?? 0;
  const pause = async (doing: string): Promise<void> => {
    if (Date.now() - occasion.begunAt > limitMs)
      throw failure(
        'PreconditionFailed',
        `The snapshot of the RDS ${words} was not available within ${formatDurationMs(limitMs)}, its time limit: ${doing}. Look at it in the console of RDS; a retry waits for the same one again. Raise snapshot.timeout where it only needs longer.`,
      );
    await sleep(pollMs, undefined, { signal });
  };
  const begun = await asked('Listing the snapshots', calls.actions.list, ({ list }) => list(signal));
  const prefix = snapshotPrefix(occasion);
  const id = begun.find((one) => one.id.startsWith(prefix) && isAlive(one))?.id ?? snapshotName(occasion);
  for (let made = begun.some((one) => one.id === id); ;) {
    if (!made) {
      report({ doing: `asking for the snapshot ${id}`, percent: 0 });
      const state = await create(service, id, occasion, signal);
      made = state === undefined;
      if (state) await pause(`the ${words} is ${state}, and no snapshot can begin`);
      continue;
    }
    const found = await asked(`Looking at the snapshot ${id}`, calls.actions.list, ({ find }) => find(id, signal));
    // What was asked for a moment ago may not be listed yet.
    const { status = 'not listed', percent = 0 } = found ?? {};
    if (found && status === 'available') return found;
    if (found && !isAlive(found))
      throw failure(
        'PreconditionFailed',
        `The snapshot ${id} of the RDS ${words} is ${status}. Look at the events of RDS for the reason and delete it, then retry: another one is taken.`,
        { status },
      );
    report({ doing: `${status}: snapshot ${id}`, percent });
    await pause(`the snapshot ${id} is ${status}, ${percent}%`);
  }
}

/** @returns undefined when it is made; what the instance is busy with when it cannot be made now */
async function create(
  service: RdsService,
  id: string,
  { migration, runId }: RdsOccasion,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { asked, calls } = service;
  const tags = { 'cutover:migration': migrationKey(migration), 'cutover:run': runId };
  const action = `${calls.actions.create} and rds:AddTagsToResource`;
  const outcome = await asked(`Taking the snapshot ${id}`, action, async () => {
    try {
      await calls.create(id, tags, signal);
      return 'made';
    } catch (error) {
      const name = errorName(error);
      if (/AlreadyExists$/.test(name)) return 'made';
      if (/^InvalidDB(Instance|Cluster)State$/.test(name)) return 'not now';
      throw error;
    }
  });
  if (outcome === 'made') return undefined;
  return (await describeSubject(service, signal)).status;
}

/** Only what is being made or is there is worth waiting for; any other status is an end. */
function isAlive({ status }: RdsSnapshotState): boolean {
  return ['creating', 'available', 'backing-up', 'pending', 'modifying', 'copying'].includes(status);
}

/** All snapshots of one run of a migration; of letters, digits and single hyphens, as RDS wants it. */
export function snapshotPrefix({ migration, runId }: RdsOccasion): string {
  const slug = migration
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 60)
    .replaceAll(/^-|-$/g, '');
  const run = createHash('sha256').update(runId).digest('hex').slice(0, 8);
  return ['cutover', slug, migrationKey(migration), run, ''].filter((part, n) => n > 3 || part !== '').join('-');
}

function snapshotName(occasion: RdsOccasion): string {
  const time = new Date(occasion.begunAt).toISOString().replaceAll(/\D/g, '').slice(0, 14);
  return `${snapshotPrefix(occasion)}${time}`;
}
