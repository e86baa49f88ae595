// After the unlock: nobody writes to etcd, the cluster stays unlocked, the workloads stay ready; and what keeping etcd means.
import { parseDurationMs } from '../../../plan/duration';
import { run } from '../../activity-options';
import { needed } from '../migration';
import { retain } from '../retention';
import type { Watch } from '../watch';
import { endingOf } from './ending';
import type { CalicoMigration } from './migration';

/** A twentieth of the watch, within these bounds. */
const shortestIntervalMs = 1_000;
const longestIntervalMs = 30_000;
/** Between two looks after a breach that people let pass. */
const windowMs = 60_000;
const weekMs = 7 * 86_400_000;

export function watchOf({ plan, scope, pinned, manifests }: CalicoMigration): Watch {
  const monitorMs = needed(parseDurationMs(plan.monitor), 'monitor');
  return {
    look: (time, accepted) =>
      run('long', `Watch Calico for ${plan.monitor}`).watchCalico({
        scope,
        snapshot: needed(pinned, 'pinned snapshot'),
        manifest: manifests?.kubernetes.artifact,
        ...time,
        accepted,
        intervalMs: Math.min(longestIntervalMs, Math.max(shortestIntervalMs, Math.round(monitorMs / 20))),
      }),
    windowMs,
    loses: 'going back loses what has changed on the cluster since the unlock: send rollback to be told how much',
    downtimeWords: 'locked for',
    evidence: () => ['etcd stays locked and is kept for its retention time; nothing is deleted'],
  };
}

/** etcd is kept, locked, whatever is decided: deleting it is left to people. */
export async function retainSource(migration: CalicoMigration): Promise<void> {
  const answer = await retain(migration, {
    words: 'locked',
    evidence: ['etcd stays locked; nothing is deleted'],
    looks: { everyMs: weekMs, find: endingOf(migration, true).findLeftovers },
  });
  migration.runbook.note(
    answer === 'rejected'
      ? 'etcd is kept as it is, locked.'
      : 'etcd is retired: it stays locked, and its data is not deleted. Take it away when nobody needs it any more.',
  );
}
