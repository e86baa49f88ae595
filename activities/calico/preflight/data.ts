// Whether what would be written is accepted and makes sense: tiers, address management, sizes, namespaces.
import { counted, pass, type Finding } from '../../preflight/check';
import { isObject, printJson, type JsonObject } from '../json';
import { checkIpam, ipamSpecs } from '../model/ipam-check';
import { member, nameOf } from '../switch/workload';
import type { CalicoCheck, CheckContext } from './context';
import { firstOf } from './refusals';

export const dataChecks: CalicoCheck[] = [
  { name: 'built-in-tiers', title: 'The built-in tiers are as Calico made them', side: 'source', look: builtInTiers },
  { name: 'ipam-consistent', title: 'Address management agrees with itself', side: 'source', look: ipamConsistent },
  { name: 'object-size', title: 'No object is too large for the apiserver', side: 'source', look: objectSize },
  { name: 'namespaces', title: 'Every namespace that is needed is there', side: 'both', look: namespaces },
];

/** Calico's own validation, and rules of the CRD from 3.32 on, refuse anything else. */
const fixedTiers: Record<string, { order: number; action: string }> = {
  default: { order: 1_000_000, action: 'Deny' },
  adminnetworkpolicy: { order: 1_000, action: 'Pass' },
  baselineadminnetworkpolicy: { order: 10_000_000, action: 'Pass' },
  'kube-admin': { order: 1_000, action: 'Pass' },
  'kube-baseline': { order: 10_000_000, action: 'Pass' },
};

function builtInTiers(context: CheckContext): Finding {
  const drifted = context
    .read()
    .exported.data.resources.filter(({ kind }) => kind === 'Tier')
    .flatMap((tier) => {
      const fixed = fixedTiers[nameOf(tier)];
      const { order, defaultAction } = member(tier, 'spec');
      if (!fixed || (order === fixed.order && (defaultAction ?? 'Deny') === fixed.action)) return [];
      return [
        `${nameOf(tier)} has order ${printJson(order ?? null)} and action ${printJson(defaultAction ?? null)}, not ${fixed.order} and ${fixed.action}`,
      ];
    });
  if (drifted.length === 0) return pass('they are');
  return {
    outcome: 'fail',
    found: drifted.join('; '),
    expected: 'their fixed order and action: Calico refuses others, and would be locked half-way',
    fix: 'calicoctl patch tier <name> --patch \'{"spec":{"order":…,"defaultAction":"…"}}\'  # with the etcd datastore',
  };
}

function ipamConsistent(context: CheckContext): Finding {
  const { blocks, affinities, handles } = ipamSpecs(context.read().exported.data);
  const { findings } = checkIpam(blocks, affinities, handles);
  if (findings.length === 0) return pass(`${counted(blocks.length, 'block')}, ${counted(handles.length, 'handle')}`);
  return {
    outcome: 'warn',
    found: `${counted(findings.length, 'finding')}: ${firstOf(findings.map(({ object, detail }) => `${object}: ${detail}`))}`,
    expected: 'none; what is broken is carried as it is and named again in the validation',
    fix: 'calicoctl ipam check, then calicoctl ipam release',
  };
}

/** etcd takes requests of 1.5 MiB; some of it is the server's own. */
const greatestObject = 1_400_000;
const greatestAnnotations = 256 * 1024;

async function objectSize(context: CheckContext): Promise<Finding> {
  const { objects } = await context.desired();
  const large = objects.flatMap(({ kind, namespace, name, body }) => {
    const title = `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
    const bytes = Buffer.byteLength(printJson(body));
    if (bytes > greatestObject) return [`${title} (${bytes} bytes)`];
    const annotations = annotationBytes(body);
    return annotations > greatestAnnotations ? [`${title} (${annotations} bytes of annotations)`] : [];
  });
  if (large.length === 0) return pass(`none of ${counted(objects.length, 'object')}`);
  return {
    outcome: 'fail',
    found: firstOf(large),
    expected: `at most ${greatestObject} bytes an object and ${greatestAnnotations} bytes of annotations`,
    fix: 'split these objects (for instance a GlobalNetworkSet into two), or shorten their annotations',
  };
}

function annotationBytes(body: JsonObject): number {
  const { annotations } = member(body, 'metadata');
  if (!isObject(annotations)) return 0;
  return Object.entries(annotations).reduce(
    (sum, [name, text]) => sum + Buffer.byteLength(name) + (typeof text === 'string' ? Buffer.byteLength(text) : 0),
    0,
  );
}

async function namespaces(context: CheckContext): Promise<Finding> {
  const { objects } = await context.desired();
  const wanted = new Map<string, number>();
  for (const { namespace } of objects) {
    if (namespace !== undefined) wanted.set(namespace, (wanted.get(namespace) ?? 0) + 1);
  }
  const present = await context.namespaces();
  const found = [...wanted].sort().flatMap(([name, amount]) => {
    const namespace = present.get(name);
    if (!namespace) return [`${name} is missing (${counted(amount, 'object')})`];
    return member(namespace, 'status').phase === 'Terminating'
      ? [`${name} is being deleted (${counted(amount, 'object')})`]
      : [];
  });
  if (found.length === 0) return pass(counted(wanted.size, 'namespace'));
  return {
    outcome: 'fail',
    found: firstOf(found),
    expected: 'all namespaces of policies and network sets, in use',
    fix: 'kubectl create namespace <name>; or delete the objects of namespaces that are gone with calicoctl',
  };
}
