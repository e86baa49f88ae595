// Server-side apply removes only fields that the same manager applied before. What `kubectl apply` wrote from the old manifest belongs to
// kubectl's own managers, so ETCD_ENDPOINTS would stay in the DaemonSet for ever. As kubectl does when somebody changes to --server-side, their
// entries become ours first. https://github.com/kubernetes/client-go/blob/master/util/csaupgrade/upgrade.go
import { isObject, type Json, type JsonObject } from '../json';

/** Under this name the switch applies. */
export const fieldManager = 'cutover';

/** Who wrote manifests before us. People's single changes (kubectl-edit, kubectl-set, kubectl-rollout) stay theirs, as with kubectl. */
const formerManagers = new Set([
  'kubectl-client-side-apply',
  'kubectl-create',
  'kubectl-replace',
  'kubectl-last-applied',
  'before-first-apply',
  'kubectl',
]);

/** Managed fields in which our manager owns what kubectl's manifests had; undefined when there is nothing to take over. */
export function takenOver(live: JsonObject): Json[] | undefined {
  const metadata = isObject(live.metadata) ? live.metadata : {};
  const entries = (Array.isArray(metadata.managedFields) ? metadata.managedFields : []).filter(isObject);
  const former = entries.filter(isFormer);
  const [newest] = former;
  if (!newest) return undefined;
  const own = entries.find(isOwn);
  const fields = [...(own ? [own] : []), ...former].map(({ fieldsV1 }) => fieldsV1).reduce(union);
  const { apiVersion, time } = own ?? newest;
  const entry: JsonObject = {
    manager: fieldManager,
    operation: 'Apply',
    apiVersion,
    time,
    fieldsType: 'FieldsV1',
    fieldsV1: fields,
  };
  return [...entries.filter((other) => !former.includes(other) && other !== own), entry];
}

function isFormer({ manager, subresource }: JsonObject): boolean {
  return typeof manager === 'string' && formerManagers.has(manager) && !subresource;
}

function isOwn({ manager, operation, subresource }: JsonObject): boolean {
  return manager === fieldManager && operation === 'Apply' && !subresource;
}

/** Sets of fields are trees of names; together they are the tree that has what either has. */
function union(left: Json | undefined, right: Json | undefined): Json | undefined {
  if (!isObject(left)) return right;
  if (!isObject(right)) return left;
  const merged: JsonObject = { ...left };
  for (const [name, inner] of Object.entries(right)) merged[name] = union(left[name], inner);
  return merged;
}
