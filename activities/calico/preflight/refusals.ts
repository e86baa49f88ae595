// What cannot be carried, one check for each kind of reason, so that a plan can accept each by itself. `unmigratable: "report"` accepts them all.
import { counted, pass, type Finding } from '../../preflight/check';
import type { RefusalCategory } from '../model/disposition';
import { nodesWithout } from '../model/nodes-without';
import type { CalicoCheck, CheckContext } from './context';

interface Refusals {
  name: string;
  title: string;
  category: RefusalCategory;
  /** What is found, for instance "3 values that cannot be read". */
  one: string;
  many: string;
  fix: string;
  /** Nothing is lost that anybody would miss. */
  warnOnly?: true;
}

const families: Refusals[] = [
  {
    name: 'values-readable',
    title: 'Every value can be read',
    category: 'unparseable',
    one: 'value that cannot be read',
    many: 'values that cannot be read',
    fix: 'look at each with "etcdctl get <key>"; mend it with calicoctl, or delete it with "etcdctl del <key>" after a snapshot',
  },
  {
    name: 'user-profiles',
    title: 'No profile was made by people',
    category: 'user-profile',
    one: 'profile made by people, which the Kubernetes datastore cannot hold',
    many: 'profiles made by people, which the Kubernetes datastore cannot hold',
    fix: 'write their rules as GlobalNetworkPolicies and take them out of the HostEndpoints that name them',
  },
  {
    name: 'nodes-named-by-kubernetes',
    title: 'Every Calico node says which node of Kubernetes it is',
    category: 'node-without-kubernetes-node',
    one: 'node without a reference to Kubernetes (orchRefs)',
    many: 'nodes without a reference to Kubernetes (orchRefs)',
    fix: 'calicoctl patch node <name> --patch \'{"spec":{"orchRefs":[{"nodeName":"<name in Kubernetes>","orchestrator":"k8s"}]}}\'  # or delete a node that is gone',
  },
  {
    name: 'names-expressible',
    title: 'Every name is one that Kubernetes takes',
    category: 'inexpressible-name',
    one: 'object whose name Kubernetes does not take',
    many: 'objects whose names Kubernetes does not take',
    fix: 'make them anew under names of lower-case letters, digits, "-" and "."; release IPAM handles with "calicoctl ipam release"',
  },
  {
    name: 'no-collisions',
    title: 'No two objects would be one on the target',
    category: 'collision',
    one: 'object that would take the place of another',
    many: 'objects that would take the place of others',
    fix: 'delete or rename one of each pair with calicoctl',
  },
  {
    name: 'tiers-present',
    title: 'Every policy is in a tier that exists',
    category: 'missing-tier',
    one: 'policy in a tier that is not there',
    many: 'policies in a tier that is not there',
    fix: 'create the tier with calicoctl, or delete these policies',
  },
  {
    name: 'kinds-known',
    title: 'Every key is of a kind that Calico knows',
    category: 'unknown',
    one: 'key of an unknown kind',
    many: 'keys of an unknown kind',
    fix: 'find out who wrote them; what nobody needs goes with "etcdctl del <key>" after a snapshot',
  },
  {
    name: 'node-status',
    title: 'No node status reports are left behind',
    category: 'node-status',
    one: 'CalicoNodeStatus, which is not carried: it is a request for a report, to be made again',
    many: 'CalicoNodeStatus objects, which are not carried: they are requests for reports, to be made again',
    fix: 'make them again on the target after the migration',
    warnOnly: true,
  },
];

export const refusalChecks: CalicoCheck[] = [
  ...families.map((family): CalicoCheck => ({
    name: family.name,
    title: family.title,
    side: 'source',
    look: (context) => refused(context, family),
  })),
  { name: 'nodes-known', title: 'Kubernetes knows every node of Calico', side: 'both', look: nodesKnown },
  {
    name: 'addresses-of-gone-nodes',
    title: 'No addresses are kept for nodes that are gone',
    side: 'both',
    look: addressesOfGoneNodes,
  },
];

const named = 10;

/** "a; b; and 12 more" */
export function firstOf(names: string[]): string {
  const rest = names.length > named ? `; and ${names.length - named} more` : '';
  return `${names.slice(0, named).join('; ')}${rest}`;
}

/** A failure, or a warning where the plan reports what cannot be carried. */
function unmigratable(context: CheckContext, finding: Omit<Finding, 'outcome'>): Finding {
  return { outcome: context.input.plan.unmigratable === 'report' ? 'warn' : 'fail', ...finding };
}

async function refused(context: CheckContext, { category, one, many, fix, warnOnly }: Refusals): Promise<Finding> {
  const keys = context
    .read()
    .exported.dispositions.filter((disposition) => disposition.category === category)
    .map(({ key, reason }) => `${key}: ${reason ?? 'refused'}`);
  const problems = (await context.desired()).problems
    .filter((problem) => problem.category === category)
    .map(({ object, reason }) => `${object}: ${reason}`);
  const found = [...keys, ...problems];
  if (found.length === 0) return pass('none');
  const finding = { found: `${counted(found.length, one, many)}: ${firstOf(found)}`, expected: 'none', fix };
  return warnOnly ? { outcome: 'warn', ...finding } : unmigratable(context, finding);
}

async function nodesKnown(context: CheckContext): Promise<Finding> {
  const missing = await gone(context);
  const nodes = missing.filter(({ calicoNode }) => calicoNode).map(({ name }) => name);
  if (nodes.length === 0) return pass('all of them');
  return unmigratable(context, {
    found: `${counted(nodes.length, 'node')} of Calico that the cluster does not have: ${firstOf(nodes)}`,
    expected: 'a Node in Kubernetes for each: their tunnel addresses and labels are kept there',
    fix: 'calicoctl delete node <name>  # for a node that is gone; or correct the nodeName in its orchRefs',
  });
}

async function addressesOfGoneNodes(context: CheckContext): Promise<Finding> {
  const found = (await gone(context))
    .filter(({ affinities, addresses }) => affinities + addresses > 0)
    .map(
      ({ name, affinities, addresses }) =>
        `${name} (${counted(affinities, 'block')}, ${counted(addresses, 'address', 'addresses')})`,
    );
  if (found.length === 0) return pass('none');
  return {
    outcome: 'warn',
    found: firstOf(found),
    expected: 'none; they are carried as they are, and kube-controllers may release them later',
    fix: 'calicoctl ipam check, then calicoctl ipam release',
  };
}

function gone(context: CheckContext) {
  return context.once('nodes without', async () =>
    nodesWithout(context.read().exported.data, (await context.nodes()).keys()),
  );
}
