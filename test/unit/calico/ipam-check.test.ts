import { exportEntries } from '../../../activities/calico/model/export';
import { checkIpam, ipamSpecs } from '../../../activities/calico/model/ipam-check';
import type { EtcdEntry } from '../../../activities/calico/model/entry';
import { block, entry } from './golden';

const cidr = '10.0.0.0/30';
const sound = {
  affinity: 'host:a',
  allocations: [0, null, 1, null],
  unallocated: [1, 3],
  attributes: [{ handle_id: 'h' }, { handle_id: null }],
};
const handle = (count: Record<string, number>) => entry('ipam/v2/handle/h', { block: count, deleted: false });
const affinity = (body: unknown = { state: 'confirmed', deleted: false }, host = 'a') =>
  entry(`ipam/v2/host/${host}/ipv4/block/10.0.0.0-30`, body);

function findings(...entries: EtcdEntry[]): string[] {
  const { data } = exportEntries(entries, { prefix: '/calico', revision: '1' });
  const { blocks, affinities, handles } = ipamSpecs(data);
  return checkIpam(blocks, affinities, handles).findings.map(({ rule, object }) => `${rule}: ${object}`);
}

test('what agrees with itself gives no finding', () => {
  expect(findings(block(cidr, sound), handle({ [cidr]: 1 }), affinity())).toEqual([]);
  expect(findings(block(cidr))).toEqual([]);
});

test.each([
  [
    'an allocation whose handle is missing',
    [block(cidr, sound), affinity()],
    ['allocation-without-handle: IPAMBlock 10.0.0.0/30'],
  ],
  [
    'a handle of a block that is missing',
    [block(cidr, sound), affinity(), handle({ [cidr]: 1, '10.9.0.0/30': 1 })],
    ['handle-without-block: IPAMHandle h'],
  ],
  [
    'a handle that counts otherwise',
    [block(cidr, sound), affinity(), handle({ [cidr]: 2 })],
    ['count-disagrees: IPAMHandle h'],
  ],
  [
    'a handle that does not count at all',
    [block(cidr, sound), affinity(), handle({})],
    ['count-disagrees: IPAMBlock 10.0.0.0/30'],
  ],
  [
    'an affinity of a block that is missing',
    [affinity()],
    ['affinity-without-block: BlockAffinity host:a 10.0.0.0/30'],
  ],
  [
    'a block of which somebody else has the affinity',
    [block(cidr, sound), handle({ [cidr]: 1 }), affinity(undefined, 'b')],
    ['block-affinity-disagrees: IPAMBlock 10.0.0.0/30', 'block-affinity-disagrees: BlockAffinity host:b 10.0.0.0/30'],
  ],
  [
    'an owner that is not listed',
    [block(cidr, { ...sound, allocations: [0, null, 5, null] }), affinity(), handle({ [cidr]: 1 })],
    ['allocation-without-attribute: IPAMBlock 10.0.0.0/30'],
  ],
  [
    'an address that is free and allocated',
    [block(cidr, { ...sound, affinity: null, attributes: [{}, {}], unallocated: [0, 3] })],
    ['free-list-disagrees: IPAMBlock 10.0.0.0/30'],
  ],
  [
    'an address that is neither',
    [block(cidr, { ...sound, affinity: null, attributes: [{}, {}], unallocated: [1] })],
    ['free-list-disagrees: IPAMBlock 10.0.0.0/30'],
  ],
  ['a block of another size than its CIDR', [block('10.0.0.0/29')], ['free-list-disagrees: IPAMBlock 10.0.0.0/29']],
])('%s is found', (_what, entries, expected) => {
  expect(findings(...entries)).toEqual(expected);
});

test('what is pending, or marked as deleted, is nobody’s fault', () => {
  expect(findings(affinity({ state: 'pending' }), affinity({ state: 'confirmed', deleted: true }, 'b'))).toEqual([]);
});
