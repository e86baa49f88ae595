// The name under which Calico lists a custom resource (specification of libcalico-go's CRD conversion): the stashed one for policies,
// the stored one without its "default." where nothing was stashed, and the resource's own for all other kinds.
import { isObject, parseJson, type Json } from '../json';
import { policyName, stashAnnotation } from '../model/policy-names';
import { metadataOf, type PresentObject } from './present';

/** Undefined when Calico cannot read the object: its stash is no JSON object. */
export function v3NameOf({ name, body }: PresentObject, tiered: boolean): string | undefined {
  const { annotations } = metadataOf(body);
  const stash = isObject(annotations) ? annotations[stashAnnotation] : undefined;
  if (typeof stash !== 'string' || stash === '') return name;
  if (!isObject(parsed(stash))) return undefined;
  if (!tiered) return name;
  const tier = isObject(body.spec) ? body.spec.tier : undefined;
  return policyName(name, stash, typeof tier === 'string' ? tier : '');
}

function parsed(text: string): Json | undefined {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
