// Whether address management agrees with itself. Works on the specs of custom resources; `ipamSpecs` gives those of an export.
import type { JsonObject } from '../json';
import type { CalicoData } from './calico-data';

export type IpamRule =
  | 'allocation-without-handle'
  | 'handle-without-block'
  | 'count-disagrees'
  | 'affinity-without-block'
  | 'block-affinity-disagrees'
  | 'allocation-without-attribute'
  | 'free-list-disagrees';

export interface IpamFinding {
  rule: IpamRule;
  /** "IPAMBlock 10.64.0.0/26" */
  object: string;
  detail: string;
}

export interface IpamSpecs {
  blocks: JsonObject[];
  affinities: JsonObject[];
  handles: JsonObject[];
}

export function checkIpam(
  _blocks: readonly JsonObject[],
  _affinities: readonly JsonObject[],
  _handles: readonly JsonObject[],
): { findings: IpamFinding[] } {
  throw new Error('not yet');
}

/** The same specs as they will be on the target. */
export function ipamSpecs(_data: CalicoData): IpamSpecs {
  throw new Error('not yet');
}
