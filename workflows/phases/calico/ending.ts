// What a Calico migration brings to its ending: both sides are looked at, and nothing counts as gone because we remember it.
import type { CreatedObject } from '../../../journal/types';
import { run } from '../../activity-options';
import type { Ending } from '../ending';
import type { CalicoMigration } from './migration';

/** @param stays true when the cluster keeps what was imported, and etcd its lock */
export function endingOf(migration: CalicoMigration, stays: boolean): Ending {
  return {
    findLeftovers: async () => [
      ...(await lockOfSource(migration, stays)),
      ...(stays ? [] : await leftOnCluster(migration)),
    ],
    artifacts: 'backup, export and inventory of this migration',
  };
}

async function lockOfSource({ scope, lockBefore }: CalicoMigration, stays: boolean): Promise<CreatedObject[]> {
  if (lockBefore === undefined) return [];
  const { state } = await run('quick', 'State of the lock in etcd').etcdLockState({ scope });
  const object = { kind: 'lock', where: 'source', name: `etcd ${scope.source.prefix}` } as const;
  if (stays) {
    return state === 'locked'
      ? [{ ...object, state: 'kept', why: 'so that nothing writes to the datastore that is no longer in use' }]
      : [
          {
            ...object,
            name: `etcd is ${state}`,
            state: 'present',
            why: 'it should be locked: find out who unlocked it',
          },
        ];
  }
  return state === lockBefore
    ? [{ ...object, state: 'gone', why: `etcd is ${state}, as before` }]
    : [{ ...object, state: 'present', why: `etcd is ${state}; before it was ${lockBefore}` }];
}

async function leftOnCluster({ scope, inventory, crds }: CalicoMigration): Promise<CreatedObject[]> {
  if (!inventory) return [];
  return run('long', 'Look for anything left on the cluster').findKubernetesLeftovers({ scope, inventory, crds });
}
