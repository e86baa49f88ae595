// Which Calico reads the target, and what follows for the way objects are written.
import { pass, type Finding } from '../../preflight/check';
import type { CalicoCheck, CheckContext } from './context';
import { minorOf } from './encoding-choice';

export const versionChecks: CalicoCheck[] = [
  {
    name: 'target-version',
    title: 'It is known which Calico will read the target',
    side: 'worker',
    waivable: false,
    look: targetVersion,
  },
  {
    name: 'same-version',
    title: 'The datastore changes, the version of Calico does not',
    side: 'source',
    look: sameVersion,
  },
];

function targetVersion(context: CheckContext): Finding {
  const { targetVersion: version, by, encoding } = context.encoding();
  const { policyNaming } = context.input.plan;
  if (version === undefined) {
    if (policyNaming !== 'auto') {
      return { outcome: 'warn', found: `unknown; names are written ${encoding.policyNaming}, as the plan says` };
    }
    return {
      outcome: 'fail',
      found: 'neither plan, manifest nor source says a version',
      expected: 'a version such as v3.30.3: from 3.32 on policies of the default tier have other names',
      fix: 'add "calicoVersion" to the plan',
    };
  }
  const names = encoding.policyNaming === 'bare' ? '"foo" for policy foo' : '"default.foo" for policy foo';
  const found = `Calico ${version}, by ${by}: ${names} of the default tier, affinities ${encoding.affinityLabels ? 'with' : 'without'} labels`;
  const byVersion = (minorOf(version) ?? 0) >= 32 ? 'bare' : 'prefixed';
  if (byVersion === encoding.policyNaming) return pass(found);
  return {
    outcome: 'warn',
    found: `${found}; this version expects names written ${byVersion}`,
    expected: '"policyNaming": "auto"',
    fix: 'remove "policyNaming" from the plan, unless it is known to be right',
  };
}

function sameVersion(context: CheckContext): Finding {
  const { calicoVersion: source } = context.read();
  const { kubernetes, etcd } = context.input.manifests ?? {};
  const { targetVersion: target } = context.encoding();
  const other = [
    ...(source && target && minorOf(source) !== minorOf(target)
      ? [`the target will be read by ${target}, the source is of ${source}`]
      : []),
    ...(source && etcd?.calicoVersion && etcd.calicoVersion !== withV(source)
      ? [`the etcd manifest is of ${etcd.calicoVersion}, the source of ${source}`]
      : []),
    ...(kubernetes?.calicoVersion && etcd?.calicoVersion && kubernetes.calicoVersion !== etcd.calicoVersion
      ? [`the manifests are of ${etcd.calicoVersion} for etcd and ${kubernetes.calicoVersion} for Kubernetes`]
      : []),
  ];
  if (other.length === 0) return pass(source ? `Calico ${source} throughout` : 'nothing says otherwise');
  return {
    outcome: 'warn',
    found: other.join('; '),
    expected: 'one version: a trouble afterwards has one cause then, and the way back is the way that was gone',
    fix: 'take the manifests of the version that runs today, and upgrade after the migration',
  };
}

function withV(version: string): string {
  return version.startsWith('v') ? version : `v${version}`;
}
