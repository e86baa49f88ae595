// Address blocks as Go's net package prints them: masked, lower case, the longest run of zeros left out. Calico compares them as text,
// and so must whoever writes its keys.

/** "10.64.0.9/26" -> "10.64.0.0/26", "FD00:0::/64" -> "fd00::/64"; undefined for what Go does not parse either. */
export function canonicalCidr(text: string): string | undefined {
  const [, address = '', digits = ''] = /^([0-9a-fA-F:.]+)\/(\d{1,3})$/.exec(text) ?? [];
  const prefix = Number(digits);
  if (address.includes(':')) return canonicalV6(address, prefix);
  const value = parseV4(address);
  if (value === undefined || prefix > 32) return undefined;
  return `${printV4(masked(value, prefix, 32))}/${prefix}`;
}

/** The number of addresses in a canonical CIDR. */
export function addressesIn(cidr: string): bigint {
  const prefix = Number(cidr.slice(cidr.indexOf('/') + 1));
  return 1n << BigInt((cidr.includes(':') ? 128 : 32) - prefix);
}

export function ipVersion(cidr: string): 4 | 6 {
  return cidr.includes(':') ? 6 : 4;
}

function canonicalV6(address: string, prefix: number): string | undefined {
  const value = parseV6(address);
  if (value === undefined || prefix > 128) return undefined;
  const network = masked(value, prefix, 128);
  // Go prints what is mapped from IPv4 as IPv4.
  if (network >> 32n === 0xffffn && prefix >= 96) return `${printV4(network & 0xffffffffn)}/${prefix - 96}`;
  return `${printV6(network)}/${prefix}`;
}

function masked(value: bigint, prefix: number, bits: number): bigint {
  const host = BigInt(bits - prefix);
  return (value >> host) << host;
}

function parseV4(text: string): bigint | undefined {
  const octets = text.split('.');
  if (octets.length !== 4 || !octets.every((octet) => /^(0|[1-9]\d{0,2})$/.test(octet) && Number(octet) <= 255))
    return undefined;
  return octets.reduce((value, octet) => (value << 8n) | BigInt(octet), 0n);
}

function printV4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join('.');
}

function parseV6(text: string): bigint | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [left, right] = halves.map((half) => (half === '' ? [] : groups(half)));
  if (!left || (halves.length === 2 && !right)) return undefined;
  const gap = 8 - left.length - (right?.length ?? 0);
  if (halves.length === 1 ? gap !== 0 : gap < 1) return undefined;
  const all = [...left, ...Array<bigint>(gap).fill(0n), ...(right ?? [])];
  return all.reduce((value, group) => (value << 16n) | group, 0n);
}

/** Sixteen bits each; an IPv4 address at the end counts as two. */
function groups(text: string): bigint[] | undefined {
  const parts = text.split(':');
  const last = parts.at(-1) ?? '';
  const embedded = last.includes('.') ? parseV4(last) : undefined;
  if (last.includes('.') && embedded === undefined) return undefined;
  const hex = embedded === undefined ? parts : parts.slice(0, -1);
  if (!hex.every((part) => /^[0-9a-fA-F]{1,4}$/.test(part))) return undefined;
  const values = hex.map((part) => BigInt(`0x${part}`));
  return embedded === undefined ? values : [...values, embedded >> 16n, embedded & 0xffffn];
}

function printV6(value: bigint): string {
  const hex = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  const zeros = longestZeros(hex);
  if (zeros.length < 2) return hex.join(':');
  return `${hex.slice(0, zeros.start).join(':')}::${hex.slice(zeros.start + zeros.length).join(':')}`;
}

function longestZeros(hex: string[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let run = 0;
  hex.forEach((group, index) => {
    run = group === '0' ? run + 1 : 0;
    if (run > best.length) best = { start: index - run + 1, length: run };
  });
  return best;
}
