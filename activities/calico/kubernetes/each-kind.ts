// The check that Calico's own guide asks for, "get each kind": what Calico will see, kind by kind, through its own decoding and naming.
import type { ValidationRecord } from '../../../journal/types';
import type { CheckDependencies } from './checks';
import type { CompareRequest } from './compare';

export function createEachKindActivities(_dependencies: CheckDependencies) {
  return {
    listEachKind: (_request: CompareRequest): Promise<ValidationRecord[]> => Promise.reject(new Error('not yet')),
  };
}
