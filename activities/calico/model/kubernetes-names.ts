// What Kubernetes accepts as the name of an object. A name that is none of these has nowhere to go, and is refused rather than changed.

const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const subdomainPattern = new RegExp(`^${label}(\\.${label})*$`);
const labelPattern = new RegExp(`^${label}$`);

/** Names of custom resources and of nodes: lower case, digits, "-" and ".", at most 253 characters. */
export function isObjectName(name: string): boolean {
  return name.length <= 253 && subdomainPattern.test(name);
}

/** Names of namespaces: as of objects, without dots and at most 63 characters. */
export function isNamespaceName(name: string): boolean {
  return name.length <= 63 && labelPattern.test(name);
}
