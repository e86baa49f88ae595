// The four values of IPAM, checked for what their custom resources require. They stay as they are in a file; only the names of nodes in
// them change, and that elsewhere.
import { isObject, type JsonObject } from '../json';
import {
  flagMember,
  integerMember,
  isInteger,
  listMember,
  objectMember,
  textMember,
  textsMember,
  wrong,
} from './values';

/** @throws Refused */
export function checkBlock(block: JsonObject): void {
  textMember(block, 'affinity');
  flagMember(block, 'deleted');
  integerMember(block, 'sequenceNumber');
  if (!Array.isArray(block.allocations)) throw wrong('allocations', 'a list');
  if (!block.allocations.every((attribute) => attribute === null || isInteger(attribute)))
    throw wrong('allocations', 'a list of numbers and nulls');
  if (!listMember(block, 'unallocated').every(isInteger)) throw wrong('unallocated', 'a list of numbers');
  for (const attribute of listMember(block, 'attributes')) {
    if (!isObject(attribute)) throw wrong('attributes', 'a list of objects');
    textMember(attribute, 'handle_id');
    textsMember(attribute, 'secondary');
    textsMember(attribute, 'alternateOwnerAttrs');
  }
  const numbers = objectMember(block, 'sequenceNumberForAllocation');
  Object.keys(numbers).forEach((ordinal) => integerMember(numbers, ordinal));
}

/** @throws Refused */
export function checkAffinity(affinity: JsonObject): void {
  textMember(affinity, 'state');
  flagMember(affinity, 'deleted');
}

/** @throws Refused */
export function checkHandle(handle: JsonObject): void {
  flagMember(handle, 'deleted');
  const counts = objectMember(handle, 'block');
  Object.keys(counts).forEach((cidr) => integerMember(counts, cidr));
}

/** @throws Refused */
export function checkIpamConfig(config: JsonObject): void {
  flagMember(config, 'strict_affinity');
  flagMember(config, 'auto_allocate_blocks');
  integerMember(config, 'maxBlocksPerHost');
}
