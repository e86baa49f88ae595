// How Calico names the custom resources that hold IPAM, and the labels by which its nodes find their blocks from 3.31 on.
import { createHash } from 'node:crypto';
import { ipVersion } from './cidr';

/** "10.64.0.0/26" -> "10-64-0-0-26", "fd00:10:64::40/122" -> "fd00-10-64--40-122". */
export function blockName(cidr: string): string {
  return cidr.replace(/[.:/]/g, '-');
}

const longest = 252;
const hashLength = 11;

/** "<host>-<block name>"; what would be too long is cut and made unique by a hash, exactly as Calico does. */
export function affinityName(host: string, cidr: string): string {
  const block = blockName(cidr);
  const plain = `${host}-${block}`;
  if (plain.length <= longest) return plain;
  const hash = createHash('sha256').update(`${host}+${block}`).digest('hex').slice(0, hashLength);
  return `${host.slice(0, longest - block.length - hashLength - 2)}-${block}-${hash}`;
}

/** Handles differ in case, names of Kubernetes do not. */
export function handleName(id: string): string {
  return id.toLowerCase();
}

/** All three or none: a calico-node adds them where they are missing, and takes those that it finds for right. */
export function affinityLabels(host: string, type: 'host' | 'virtual', cidr: string): Record<string, string> {
  return {
    'projectcalico.org/affinity-type': type,
    'projectcalico.org/hostname-hash': base32(createHash('sha3-256').update(host).digest()),
    'projectcalico.org/ip-version': String(ipVersion(cidr)),
  };
}

/** RFC 4648, upper case, without padding. */
function base32(bytes: Buffer): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{1,5}/g) ?? []).map((five) => alphabet.charAt(parseInt(five.padEnd(5, '0'), 2))).join('');
}
