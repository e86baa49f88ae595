// IPAM as custom resources: the same numbers in the same order under other names. Nothing is normalised: the order of free addresses is
// the order in which they will be given out.
import { isObject, type Json, type JsonObject } from '../json';
import { affinityLabels } from './ipam-names';
import type { IpamKey } from './ipam-entries';
import { emptyStash, stashText } from './metadata';
import { stashAnnotation } from './policy-names';
import { flagMember, integerMember, listMember, objectMember, textMember } from './values';

/** Labels and annotations of an IPAM object. */
export function ipamMetadata(key: IpamKey, withAffinityLabels: boolean): JsonObject {
  if (key.type !== 'affinity' || !withAffinityLabels) return { annotations: { [stashAnnotation]: emptyStash } };
  const labels = affinityLabels(key.host, key.kind, key.cidr);
  return { labels, annotations: { [stashAnnotation]: stashText(undefined, labels, {}) } };
}

/** The spec of the custom resource. @throws Refused when the value has not the shape that its key asks for */
export function ipamSpec(key: IpamKey, value: JsonObject): JsonObject {
  switch (key.type) {
    case 'block':
      return blockSpec(key.cidr, value);
    case 'affinity':
      return {
        state: textMember(value, 'state'),
        node: key.host,
        type: key.kind,
        cidr: key.cidr,
        // A text in this version of the API.
        deleted: String(flagMember(value, 'deleted')),
      };
    case 'handle':
      return { handleID: key.id, block: objectMember(value, 'block'), deleted: flagMember(value, 'deleted') };
    case 'ipam-config':
      return configSpec(value);
  }
}

function blockSpec(cidr: string, block: JsonObject): JsonObject {
  const { affinity, sequenceNumberForAllocation: numbers, affinity_claim_time: claimTime } = block;
  return {
    cidr,
    ...(typeof affinity === 'string' && { affinity }),
    ...(typeof claimTime === 'string' && { affinityClaimTime: claimTime }),
    allocations: listMember(block, 'allocations'),
    unallocated: listMember(block, 'unallocated'),
    attributes: listMember(block, 'attributes').map((attribute) =>
      isObject(attribute) ? present(attribute) : attribute,
    ),
    sequenceNumber: integerMember(block, 'sequenceNumber'),
    ...(isObject(numbers) && { sequenceNumberForAllocation: numbers }),
    deleted: flagMember(block, 'deleted'),
    strictAffinity: false,
  };
}

function configSpec(config: JsonObject): JsonObject {
  const { kubeVirtVMAddressPersistence: persistence, ipCooldownSeconds: cooldown } = config;
  const maxBlocksPerHost = integerMember(config, 'maxBlocksPerHost');
  return {
    strictAffinity: flagMember(config, 'strict_affinity'),
    autoAllocateBlocks: flagMember(config, 'auto_allocate_blocks'),
    ...(maxBlocksPerHost != 0 && { maxBlocksPerHost }),
    ...(isSet(persistence) && { kubeVirtVMAddressPersistence: persistence }),
    ...(isSet(cooldown) && { ipCooldownSeconds: cooldown }),
  };
}

function isSet(value: Json | undefined): value is Json {
  return value !== undefined && value !== null;
}

/** Without the members that are null. */
function present(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => isSet(value)));
}
