// Whether both sides answer, and whether this is the etcd of a Calico at all.
import { counted, pass, type Finding } from '../../preflight/check';
import type { CalicoCheck, CheckContext } from './context';

export const reachableChecks: CalicoCheck[] = [
  {
    name: 'etcd-reachable',
    title: 'etcd answers, and all of Calico in it can be read',
    side: 'source',
    needs: [],
    waivable: false,
    look: etcdReachable,
  },
  {
    name: 'kubernetes-reachable',
    title: 'The cluster answers',
    side: 'target',
    needs: [],
    waivable: false,
    look: kubernetesReachable,
  },
  { name: 'etcd-writable', title: 'We may lock etcd', side: 'source', waivable: false, look: etcdWritable },
  { name: 'etcd-data', title: 'etcd holds a Calico', side: 'source', waivable: false, look: etcdData },
  { name: 'etcd-lock', title: 'Calico uses this etcd, and nobody has locked it', side: 'source', look: etcdLock },
  {
    name: 'cluster-information',
    title: 'There is a ClusterInformation that can be locked',
    side: 'source',
    waivable: false,
    look: clusterInformation,
  },
];

function etcdReachable(context: CheckContext): Finding {
  if (!context.reachable('source')) return { outcome: 'fail', found: context.unreachableBecause('source') };
  const { version, revision } = context.read();
  return pass(`etcd ${version ?? '(its version may not be asked)'}, read at revision ${revision}`);
}

function kubernetesReachable(context: CheckContext): Finding {
  if (!context.reachable('target')) return { outcome: 'fail', found: context.unreachableBecause('target') };
  return pass(`Kubernetes ${context.kubernetesVersion || 'of unknown version'} at ${context.kubernetes().server}`);
}

function etcdWritable(context: CheckContext): Finding {
  const { notWritable } = context.read();
  if (notWritable === undefined) return pass('its user may write, and it has room');
  return { outcome: 'fail', found: notWritable, expected: 'an etcd that takes the lock, and gives it back' };
}

function etcdData(context: CheckContext): Finding {
  const { prefix } = context.input.scope.source;
  const { keys } = context.read();
  if (keys > 0) return pass(`${counted(keys, 'key')} below ${prefix}/`);
  return {
    outcome: 'fail',
    found: `no key below ${prefix}/`,
    expected: 'the data of a Calico in its etcdv3 datastore',
    fix: `etcdctl get / --prefix --keys-only --limit 20  # and correct "source.endpoints" or "source.prefix" of the plan`,
  };
}

function clusterInformation(context: CheckContext): Finding {
  const { lock, lockError, calicoVersion } = context.read();
  if (lock === 'unreadable') {
    return { outcome: 'fail', found: lockError ?? 'cannot be read', expected: 'a ClusterInformation named default' };
  }
  if (lock === 'missing') {
    return {
      outcome: 'fail',
      found: 'there is none: no Calico has ever been started on this etcd, or the key was lost',
      expected: 'a ClusterInformation named default',
      fix: 'calicoctl get clusterinformation default  # with the etcd datastore; any start of calico-node makes it anew',
    };
  }
  return pass(`of Calico ${calicoVersion ?? 'of unknown version'}`);
}

function etcdLock(context: CheckContext): Finding {
  const { lock } = context.read();
  switch (lock) {
    case 'ready':
      return pass('in use, not locked');
    case 'unset':
      return {
        outcome: 'warn',
        found: 'the ready flag is not set, which counts as not locked',
        expected: 'spec.datastoreReady is true',
      };
    case 'locked':
      return {
        outcome: 'fail',
        found: 'locked already: by an earlier migration that was not ended, or by somebody who is at work on it now',
        expected: 'not locked; on the way back it would be left locked, as it was found',
        fix: 'calicoctl datastore migrate unlock  # with the etcd datastore, when nobody needs the lock',
      };
    case 'missing':
    case 'unreadable':
      return { outcome: 'fail', found: `the lock is ${lock}; see cluster-information` };
  }
}
