// Keys that no migration carries, because Calico or Kubernetes makes them anew: status reports, endpoints, and what mirrors Kubernetes' own objects.
// They change while the datastore is locked, and nothing is lost by that. Whatever is not known here counts as data.
import { parseKey, type CalicoKey } from '../model/keys';
import { kindByPlural } from '../model/kinds';
import { isDerivedPolicy } from '../model/policy-names';

/** @param prefix without a slash at its end */
export function isNeverMigrated(key: string, prefix: string): boolean {
  const parsed = parseKey(key, prefix);
  if (parsed.type === 'other') return parsed.what !== 'unknown';
  return parsed.type === 'resource' && isMadeAnew(parsed);
}

function isMadeAnew({ plural, name }: Extract<CalicoKey, { type: 'resource' }>): boolean {
  const kind = kindByPlural(plural);
  switch (kind?.fate) {
    case undefined:
      return false;
    case 'derived':
    case 'node-status':
      return true;
    case 'profile':
      return /^(kns|ksa)\./.test(name);
    default:
      return isDerivedPolicy(kind?.kind ?? '', name);
  }
}
