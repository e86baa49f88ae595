// What ClusterInformation says about the lock: Calico's ready flag in the words of an operator.
import type { JsonObject } from '../json';

/** `missing`: no ClusterInformation; `unset`: it has no flag, which counts as not locked; `ready`: in use; `locked`. */
export type LockState = 'missing' | 'unset' | 'ready' | 'locked';

/** The state that a ClusterInformation tells. @throws PreconditionFailed for a flag that is no boolean */
export function lockStateOf(clusterInformation: JsonObject | undefined): LockState {
  throw new Error(`not yet ${typeof clusterInformation}`);
}
