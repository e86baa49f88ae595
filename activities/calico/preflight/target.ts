// What is of Calico's on the cluster already, and whether its data can go there.
import { counted, pass, type Finding } from '../../preflight/check';
import { isObject, type JsonObject } from '../json';
import { builtInTiers } from '../kubernetes/calicos-doing';
import { hasSameSchema, newerKinds } from '../kubernetes/crds';
import { crdName, resourcePath } from '../kubernetes/paths';
import { clusterInformation, keyOf, presentNodes, presentObjects, type PresentObject } from '../kubernetes/present';
import { describeObject } from '../model/desired';
import { differences } from '../model/compare';
import { crdKinds } from '../model/kinds';
import { isCrd } from '../switch/apply';
import { member } from '../switch/workload';
import type { CalicoCheck, CheckContext } from './context';
import { firstOf } from './refusals';

export const targetChecks: CalicoCheck[] = [
  {
    name: 'datastore-kind',
    title: 'The cluster does not keep Calico by its native v3 definitions',
    side: 'target',
    waivable: false,
    look: datastoreKind,
  },
  { name: 'crds', title: "Calico's definitions are there, or in the manifest", side: 'target', look: crds },
  {
    name: 'kinds-served',
    title: 'The target has a place for every kind',
    side: 'both',
    waivable: false,
    look: kindsServed,
  },
  { name: 'target-lock', title: 'No Calico uses the Kubernetes datastore yet', side: 'both', look: targetLock },
  {
    name: 'target-objects',
    title: 'What is there already is what would be written',
    side: 'both',
    look: targetObjects,
  },
  { name: 'foreign-objects', title: 'Nothing else of Calico is there', side: 'both', look: foreignObjects },
  { name: 'node-annotations', title: "No node carries Calico's annotations yet", side: 'target', look: annotations },
];

async function datastoreKind(context: CheckContext): Promise<Finding> {
  const native = [...(await context.crds())]
    .filter(([, crd]) => member(crd, 'spec').group === 'projectcalico.org')
    .map(([name]) => name);
  if (native.length === 0) return pass('by crd.projectcalico.org/v1, or not at all');
  return {
    outcome: 'fail',
    found: `${counted(native.length, 'definition')} of projectcalico.org/v3: ${firstOf(native)}`,
    expected:
      'none: a cluster in this mode (Calico 3.32 or later) keeps its objects in another way, which is not written here',
    fix: 'move to the crd.projectcalico.org datastore; when these definitions are left over and empty, delete them',
  };
}

async function crds(context: CheckContext): Promise<Finding> {
  const present = await context.crds();
  const brought = broughtCrds(context);
  const names = crdKinds.map(({ plural }) => crdName(plural));
  const bad = crdKinds.flatMap(({ kind, plural }) => {
    const name = crdName(plural);
    const crd = present.get(name);
    // What an older Calico does not have is of consequence only where there are objects of it: kinds-served.
    if (!crd) return brought.has(name) || newerKinds.has(kind) ? [] : [`${name} is missing`];
    const why = whyUnusable(crd);
    return why === undefined ? [] : [`${name} ${why}`];
  });
  const there = names.filter((name) => present.has(name)).length;
  const coming = names.filter((name) => !present.has(name) && brought.has(name)).length;
  if (bad.length === 0) {
    const other = (await context.manifest('kubernetes'))
      .filter(isCrd)
      .filter(({ name, body }) => names.includes(name) && !hasSameSchema(body, present.get(name) ?? body))
      .map(({ name }) => name);
    if (other.length === 0) return pass(`${there} of ${names.length} are there, the manifest brings ${coming}`);
    return {
      outcome: 'warn',
      found: `${counted(other.length, 'definition')} on the cluster with another schema than the manifest's: ${firstOf(other)}`,
      expected:
        'those of this version: the import goes by what is there, and fails its validation where that drops a field',
      fix: 'kubectl apply --server-side -f <the CRDs of this version of Calico>',
    };
  }
  return {
    outcome: 'fail',
    found: firstOf(bad),
    expected: `all ${names.length} of them, established, or in the manifest for Kubernetes`,
    fix: 'kubectl apply --server-side -f <the CRDs of this version of Calico>; one that is being deleted: wait until it is gone',
  };
}

function broughtCrds({ input }: CheckContext): Set<string> {
  return new Set(input.manifests?.kubernetes.crds ?? []);
}

/** An object without a place would stop the import under the lock. */
async function kindsServed(context: CheckContext): Promise<Finding> {
  const { objects } = await context.desired();
  const present = await context.crds();
  const brought = broughtCrds(context);
  const homeless = objects.filter(({ plural }) => !present.has(crdName(plural)) && !brought.has(crdName(plural)));
  if (homeless.length === 0) return pass('it has');
  const kinds = new Set(homeless.map(({ plural }) => crdName(plural)));
  return {
    outcome: 'fail',
    found: `${counted(homeless.length, 'object')} of kinds without a definition (${firstOf([...kinds])}): ${firstOf(homeless.map(describeObject))}`,
    expected: 'a definition on the cluster or in the manifest for Kubernetes, for every kind that there are objects of',
    fix: 'move to a version of Calico that has these kinds, or delete the objects with calicoctl',
  };
}

function whyUnusable(crd: JsonObject): string | undefined {
  if (member(crd, 'metadata').deletionTimestamp !== undefined) return 'is being deleted';
  const { conditions } = member(crd, 'status');
  const established = (Array.isArray(conditions) ? conditions : [])
    .filter(isObject)
    .some(({ type, status }) => type === 'Established' && status === 'True');
  if (!established) return 'is not established';
  const { versions } = member(crd, 'spec');
  const served = (Array.isArray(versions) ? versions : [])
    .filter(isObject)
    .some((version) => version.name === 'v1' && version.served === true);
  return served ? undefined : 'does not serve version v1';
}

async function targetLock(context: CheckContext): Promise<Finding> {
  const path = resourcePath({ plural: clusterInformation, name: 'default' });
  const live = await context.kubernetes().get(path);
  if (!live) return pass('it has no ClusterInformation yet');
  const { datastoreReady, calicoVersion } = member(live, 'spec');
  if (datastoreReady === false) {
    const { objects } = await context.desired();
    const wanted = objects.find(({ plural }) => plural === clusterInformation);
    const [first] = wanted ? differences(wanted.body, live) : [];
    if (first !== undefined && context.input.plan.existing === 'stop') {
      return {
        outcome: 'fail',
        found: `there is a locked one of another cluster, or of an import that was not ended (${first})`,
        expected: 'no ClusterInformation, or a locked one of this cluster',
        fix: 'kubectl delete clusterinformations.crd.projectcalico.org default  # when nothing uses it; or "existing": "replace" in the plan',
      };
    }
    return {
      outcome: 'warn',
      found: 'there is a locked one, of an earlier migration or import',
      expected: 'none; what it left is compared and used',
    };
  }
  const version = typeof calicoVersion === 'string' ? ` ${calicoVersion}` : '';
  return {
    outcome: 'fail',
    found: `there is one that is not locked: a Calico${version} may be at work on this datastore`,
    expected: 'no ClusterInformation, or a locked one',
    fix: 'calicoctl datastore migrate lock  # with the Kubernetes datastore, when no component uses it; otherwise this cluster is migrated already',
  };
}

interface Present {
  equal: number;
  different: string[];
  foreign: string[];
}

function present(context: CheckContext): Promise<Present> {
  return context.once('present', async () => {
    const { objects } = await context.desired();
    const wanted = new Map(objects.map((object) => [keyOf(object), object.body]));
    const found: Present = { equal: 0, different: [], foreign: [] };
    const served = await context.crds();
    for (const kind of crdKinds) {
      // The lock is looked at by itself.
      if (kind.plural === 'clusterinformations' || !served.has(`${kind.plural}.crd.projectcalico.org`)) continue;
      for await (const object of presentObjects(context.kubernetes(), kind, context.signal)) {
        sort(object, wanted.get(keyOf(object)), found);
      }
    }
    return found;
  });
}

function sort(object: PresentObject, wanted: JsonObject | undefined, found: Present): void {
  if (!wanted) {
    if (!isCalicosOwn(object)) found.foreign.push(describeObject(object));
    return;
  }
  const [first] = differences(wanted, object.body);
  if (first === undefined) found.equal += 1;
  else found.different.push(`${describeObject(object)} (${first})`);
}

/** What every start of a Calico on this datastore makes by itself, whatever the source holds. */
function isCalicosOwn({ plural, name }: PresentObject): boolean {
  return plural === 'tiers' ? builtInTiers.includes(name) : plural === 'caliconodestatuses';
}

async function targetObjects(context: CheckContext): Promise<Finding> {
  const { equal, different } = await present(context);
  if (different.length === 0) return pass(equal === 0 ? 'nothing is there' : `${counted(equal, 'object')}, all equal`);
  const found = `${counted(different.length, 'object')} with another content: ${firstOf(different)}`;
  if (context.input.plan.existing === 'replace') {
    return { outcome: 'warn', found: `${found}; they will be replaced, and put back on the way back` };
  }
  return {
    outcome: 'fail',
    found,
    expected: 'nothing, or objects equal to those of the source',
    fix: 'kubectl delete <object>, or "existing": "replace" in the plan',
  };
}

async function foreignObjects(context: CheckContext): Promise<Finding> {
  const { foreign } = await present(context);
  if (foreign.length === 0) return pass('nothing');
  return {
    outcome: 'fail',
    found: `${counted(foreign.length, 'object')} that the source does not have: ${firstOf(foreign)}`,
    expected: 'none: they come into force with the switch, and nobody of the migration deletes them',
    fix: 'kubectl delete <object>; or waive this check when they are meant',
  };
}

async function annotations(context: CheckContext): Promise<Finding> {
  const found: string[] = [];
  for await (const { name, annotations: own } of presentNodes(context.kubernetes(), context.signal)) {
    const names = Object.keys(own);
    if (names.length > 0) found.push(`${name} (${names.length})`);
  }
  if (found.length === 0) return pass('none');
  return {
    outcome: 'warn',
    found: `${counted(found.length, 'node')}: ${firstOf(found)}`,
    expected: 'none; they are recorded, overwritten, and put back on the way back',
  };
}
