// What ClusterInformation says about the lock, and its text with another lock: Calico's ready flag in the words of an operator.
// Only the flag is touched: every other byte of the value stays, whatever a newer Calico or a person has put there.
import { failure } from '../../errors';
import { isObject, parseJson, type JsonObject } from '../json';
import { editMember } from './json-edit';

/** `missing`: no ClusterInformation; `unset`: it has no flag, which counts as not locked; `ready`: in use; `locked`. */
export type LockState = 'missing' | 'unset' | 'ready' | 'locked';

export function clusterInformationKey(prefix: string): string {
  return `${prefix}/resources/v3/projectcalico.org/clusterinformations/default`;
}

export interface ClusterInformation {
  state: Exclude<LockState, 'missing'>;
  calicoVersion?: string;
  clusterGuid?: string;
}

/** @throws PreconditionFailed when the value is no ClusterInformation */
export function readClusterInformation(key: string, text: string): ClusterInformation {
  const spec = specOf(key, text);
  const { datastoreReady: flag, calicoVersion, clusterGUID } = spec ?? {};
  if (flag !== undefined && flag !== null && typeof flag !== 'boolean')
    throw unreadable(key, 'spec.datastoreReady is neither true nor false');
  return {
    state: flag === true ? 'ready' : flag === false ? 'locked' : 'unset',
    ...(typeof calicoVersion === 'string' && calicoVersion ? { calicoVersion } : {}),
    ...(typeof clusterGUID === 'string' && clusterGUID ? { clusterGuid: clusterGUID } : {}),
  };
}

/** The text with the flag of another state; every other byte as it was. @throws PreconditionFailed when the value is no ClusterInformation */
export function withLockState(key: string, text: string, state: 'unset' | 'ready' | 'locked'): string {
  specOf(key, text);
  const flag = state === 'unset' ? undefined : String(state === 'ready');
  const edited = editMember(text, ['spec', 'datastoreReady'], flag);
  // A member that is there twice is one for us and the other for Calico.
  if (readClusterInformation(key, edited).state !== state) throw unreadable(key, 'spec.datastoreReady is there twice');
  return edited;
}

function specOf(key: string, text: string): JsonObject | undefined {
  const value = parsed(key, text);
  if (!isObject(value)) throw unreadable(key, 'it is no JSON object');
  if (value.spec !== undefined && !isObject(value.spec)) throw unreadable(key, 'its spec is no object');
  return value.spec;
}

function parsed(key: string, text: string) {
  try {
    return parseJson(text);
  } catch {
    throw unreadable(key, 'it is no JSON');
  }
}

function unreadable(key: string, why: string): Error {
  return failure(
    'PreconditionFailed',
    `The value of ${key} is no ClusterInformation: ${why}. Mend it with etcdctl or calicoctl and retry.`,
  );
}
