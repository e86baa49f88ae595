// Keys that no migration carries, because Calico or Kubernetes makes them anew: status reports, endpoints, and what mirrors Kubernetes' own objects.
// They change while the datastore is locked, and nothing is lost by that. Whatever is not known here counts as data.

const statusReports = /^(felix|bgp|v1)\//;
/** The marker of a host; its blocks are one level deeper. */
const hostMarker = /^ipam\/v2\/host\/[^/]+$/;
const madeAnew = [
  /^workloadendpoints\//,
  /^caliconodestatuses\//,
  // Of Kubernetes' NetworkPolicies, Namespaces and ServiceAccounts.
  /^networkpolicies\/[^/]+\/knp\.default\./,
  /^profiles\/(kns|ksa)\./,
];

/** @param prefix without a slash at its end */
export function isNeverMigrated(key: string, prefix: string): boolean {
  const path = key.slice(prefix.length + 1);
  if (statusReports.test(path) || hostMarker.test(path)) return true;
  const [, resource] = /^resources\/v3\/projectcalico\.org\/(.*)$/.exec(path) ?? [];
  return resource !== undefined && madeAnew.some((pattern) => pattern.test(resource));
}
