// Whether address management agrees with itself, as `calicoctl ipam check` asks. Works on the specs of custom resources; `ipamSpecs` gives
// those of an export, so that what was broken on the source can be told from what broke on the way.
import { isObject, type Json, type JsonObject } from '../json';
import type { CalicoData, KeyedValue } from './calico-data';
import { addressesIn, canonicalCidr } from './cidr';
import { ipamSpec } from './desired-ipam';
import { filePrefix } from './ipam-entries';
import { parseKey } from './keys';

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

/** Objects that are marked as deleted are left out: whoever reads them next, removes them. */
export function checkIpam(
  blocks: readonly JsonObject[],
  affinities: readonly JsonObject[],
  handles: readonly JsonObject[],
): { findings: IpamFinding[] } {
  const present = (specs: readonly JsonObject[]) =>
    specs.filter(({ deleted }) => deleted !== true && deleted !== 'true');
  const facts = gather(present(blocks), present(affinities), present(handles));
  return { findings: [...checkBlocks(facts), ...checkHandles(facts), ...checkAffinities(facts)] };
}

/** The same specs as they will be on the target. */
export function ipamSpecs({ ipam }: CalicoData): IpamSpecs {
  const specs = (entries: KeyedValue[]) =>
    entries.flatMap(({ key: text, value }) => {
      const key = parseKey(text, filePrefix);
      return key.type === 'other' || key.type === 'resource' ? [] : [ipamSpec(key, value)];
    });
  return { blocks: specs(ipam.blocks), affinities: specs(ipam.affinities), handles: specs(ipam.handles) };
}

interface Facts {
  /** CIDR -> spec. */
  blocks: Map<string, JsonObject>;
  /** CIDR -> handle -> number of addresses that the block has allocated to it. */
  allocated: Map<string, Map<string, number>>;
  /** Handle -> CIDR -> number of addresses that the handle says it has. */
  handles: Map<string, Map<string, number>>;
  affinities: JsonObject[];
  /** "host:node-a 10.64.0.0/26" of all affinities. */
  claims: Set<string>;
}

function gather(blocks: JsonObject[], affinities: JsonObject[], handles: JsonObject[]): Facts {
  return {
    blocks: new Map(blocks.map((block) => [cidrOf(block), block])),
    allocated: new Map(blocks.map((block) => [cidrOf(block), allocationsByHandle(block)])),
    handles: new Map(
      handles.map((handle) => [
        text(handle.handleID),
        new Map(
          Object.entries(isObject(handle.block) ? handle.block : {}).map(([cidr, count]) => [
            canonicalCidr(cidr) ?? cidr,
            Number(count),
          ]),
        ),
      ]),
    ),
    affinities,
    claims: new Set(affinities.map((affinity) => `${ownerOf(affinity)} ${cidrOf(affinity)}`)),
  };
}

function checkBlocks({ blocks, allocated, handles, claims }: Facts): IpamFinding[] {
  return [...blocks].flatMap(([cidr, block]) => {
    const found = (rule: IpamRule, detail: string): IpamFinding => ({ rule, object: `IPAMBlock ${cidr}`, detail });
    const affinity = text(block.affinity);
    return [
      ...[...(allocated.get(cidr) ?? [])]
        .filter(([handle]) => !handles.has(handle))
        .map(([handle, count]) =>
          found('allocation-without-handle', `${count} addresses belong to the handle ${handle}, which does not exist`),
        ),
      ...[...(allocated.get(cidr) ?? [])]
        .filter(([handle]) => handles.get(handle)?.has(cidr) === false)
        .map(([handle, count]) =>
          found('count-disagrees', `${count} addresses belong to the handle ${handle}, which counts none in it`),
        ),
      ...checkAllocations(cidr, block, found),
      ...(affinity !== '' && !claims.has(`${affinity} ${cidr}`)
        ? [found('block-affinity-disagrees', `it belongs to ${affinity}, which has no affinity to it`)]
        : []),
    ];
  });
}

function checkAllocations(
  cidr: string,
  block: JsonObject,
  found: (rule: IpamRule, detail: string) => IpamFinding,
): IpamFinding[] {
  const allocations = list(block.allocations);
  const attributes = list(block.attributes).length;
  const dangling = allocations.filter((index) => typeof index === 'number' && (index < 0 || index >= attributes));
  const findings: IpamFinding[] = [];
  if (dangling.length > 0)
    findings.push(
      found('allocation-without-attribute', `${dangling.length} addresses have an owner that is not listed`),
    );
  const disagreement = freeListDisagreement(cidr, allocations, list(block.unallocated).map(Number));
  if (disagreement) findings.push(found('free-list-disagrees', disagreement));
  return findings;
}

function freeListDisagreement(cidr: string, allocations: Json[], free: number[]): string | undefined {
  if (BigInt(allocations.length) !== addressesIn(cidr))
    return `it lists ${allocations.length} addresses of ${addressesIn(cidr)}`;
  const distinct = new Set(free);
  if (distinct.size !== free.length) return 'its list of free addresses names some of them twice';
  const taken = free.filter((ordinal) => allocations[ordinal] !== null).length;
  if (taken > 0) return `its list of free addresses names ${taken} that are not free`;
  const lost = allocations.filter((owner, ordinal) => owner === null && !distinct.has(ordinal)).length;
  return lost > 0 ? `${lost} addresses are neither free nor allocated` : undefined;
}

function checkHandles({ blocks, allocated, handles }: Facts): IpamFinding[] {
  return [...handles].flatMap(([handle, counts]) =>
    [...counts].flatMap(([cidr, count]): IpamFinding[] => {
      const object = `IPAMHandle ${handle}`;
      if (!blocks.has(cidr))
        return [
          {
            rule: 'handle-without-block',
            object,
            detail: `it has ${count} addresses in ${cidr}, which does not exist`,
          },
        ];
      const inBlock = allocated.get(cidr)?.get(handle) ?? 0;
      if (inBlock === count) return [];
      return [
        {
          rule: 'count-disagrees',
          object,
          detail: `it counts ${count} addresses in ${cidr}, and the block ${inBlock}`,
        },
      ];
    }),
  );
}

function checkAffinities({ blocks, affinities }: Facts): IpamFinding[] {
  return affinities.flatMap((affinity): IpamFinding[] => {
    const object = `BlockAffinity ${ownerOf(affinity)} ${cidrOf(affinity)}`;
    const block = blocks.get(cidrOf(affinity));
    // Pending: the block is about to be made, or has just gone.
    if (!block)
      return affinity.state === 'confirmed'
        ? [{ rule: 'affinity-without-block', object, detail: 'it is confirmed, but there is no such block' }]
        : [];
    if (affinity.state !== 'confirmed' || text(block.affinity) === ownerOf(affinity)) return [];
    const owner = text(block.affinity) || 'nobody';
    return [{ rule: 'block-affinity-disagrees', object, detail: `the block belongs to ${owner}` }];
  });
}

function allocationsByHandle(block: JsonObject): Map<string, number> {
  const counts = new Map<string, number>();
  const handles = list(block.attributes).map((attribute) => (isObject(attribute) ? text(attribute.handle_id) : ''));
  for (const index of list(block.allocations)) {
    const handle = typeof index === 'number' ? handles[index] : undefined;
    if (handle) counts.set(handle, (counts.get(handle) ?? 0) + 1);
  }
  return counts;
}

function ownerOf({ type, node }: JsonObject): string {
  return `${text(type) || 'host'}:${text(node)}`;
}

function cidrOf({ cidr }: JsonObject): string {
  return canonicalCidr(text(cidr)) ?? text(cidr);
}

function list(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}
