// Whether what would be written is accepted and makes sense: tiers, address management, sizes, namespaces.
import { counted, pass, type Finding } from '../../preflight/check';
import { isObject, printJson, type Json, type JsonObject } from '../json';
import { readDefinition } from '../kubernetes/crd';
import { crdName } from '../kubernetes/paths';
import { misfits } from '../kubernetes/schema';
import { describeObject } from '../model/desired';
import { checkIpam, ipamSpecs } from '../model/ipam-check';
import { isCrd } from '../switch/apply';
import { member, nameOf } from '../switch/workload';
import type { CalicoCheck, CheckContext } from './context';
import { firstOf } from './refusals';

export const dataChecks: CalicoCheck[] = [
  { name: 'built-in-tiers', title: 'The built-in tiers are as Calico made them', side: 'source', look: builtInTiers },
  { name: 'ipam-consistent', title: 'Address management agrees with itself', side: 'source', look: ipamConsistent },
  { name: 'object-size', title: 'No object is too large for the apiserver', side: 'source', look: objectSize },
  {
    name: 'objects-accepted',
    title: 'The definitions take every object as it is',
    side: 'both',
    look: objectsAccepted,
  },
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

/** What is dropped or refused would stop the migration under the lock. A definition that is there counts before that of the manifest, as in the import. */
async function objectsAccepted(context: CheckContext): Promise<Finding> {
  const { objects } = await context.desired();
  const brought = new Map((await context.manifest('kubernetes')).filter(isCrd).map(({ name, body }) => [name, body]));
  const present = await context.crds();
  const schemas = new Map<string, Json | undefined>();
  const schemaOf = (plural: string): Json | undefined => {
    const name = crdName(plural);
    if (!schemas.has(name)) schemas.set(name, specSchema(present.get(name) ?? brought.get(name)));
    return schemas.get(name);
  };
  const found = objects.flatMap((object) => {
    const [first] = misfits(object.body.spec, schemaOf(object.plural), 'spec');
    return first === undefined ? [] : [`${describeObject(object)}: ${first}`];
  });
  if (found.length === 0) return pass(`${counted(objects.length, 'object')} of ${counted(schemas.size, 'kind')}`);
  return {
    outcome: 'fail',
    found: `${counted(found.length, 'object')}: ${firstOf(found)}`,
    expected:
      'objects that the cluster keeps as they are; an older or a newer Calico may have written others into etcd',
    fix: 'calicoctl get <kind> <name> -o yaml > object.yaml, correct it, calicoctl replace -f object.yaml  # with the etcd datastore; it leaves out what it does not know',
  };
}

function specSchema(crd: JsonObject | undefined): Json | undefined {
  const schema = crd && readDefinition(crd).versions.find(({ name }) => name === 'v1')?.schema;
  const whole = isObject(schema) ? schema.openAPIV3Schema : undefined;
  const properties = isObject(whole) ? whole.properties : undefined;
  return isObject(properties) ? properties.spec : undefined;
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
