import { categories, run } from './exported';
import { block, entry, resource } from './golden';

describe('IPAM', () => {
  const handle = (id: string) => entry(`ipam/v2/handle/${id}`, { block: {}, deleted: false });

  test('an affinity without a value is one without a state', () => {
    const { data } = run(entry('ipam/v2/host/n/ipv4/block/10.0.0.0-30', ''));
    expect(data.ipam.affinities[0]?.value).toEqual({ state: '', deleted: false });
  });

  test.each(['Upper_Case', 'a/b', 'with space', '-', 'x'.repeat(254)])(
    'the handle %s cannot be named and is refused',
    (id) => {
      expect(categories(run(handle(id)))).toEqual(['inexpressible-name']);
    },
  );

  test('handles that differ in case only are refused, both of them', () => {
    expect(categories(run(handle('ABC'), handle('abc'), handle('abd')))).toEqual([
      'collision',
      'collision',
      'migrated',
    ]);
  });

  test('an affinity of a node whose name Kubernetes cannot have is refused', () => {
    expect(categories(run(entry('ipam/v2/host/Node_A/ipv4/block/10.0.0.0-30', '')))).toEqual(['inexpressible-name']);
  });

  test('one block under two spellings is refused, both of them; the key counts, not the value', () => {
    const twice = run(block('fd00::/126'), {
      ...block('fd00::/126'),
      key: '/calico/ipam/v2/assignment/ipv6/block/fd00:0::-126',
    });
    expect(categories(twice)).toEqual(['collision', 'collision']);
    const { data, accounting } = run(block('10.0.0.0/30', { cidr: '10.9.9.0/30' }));
    expect(data.ipam.blocks[0]?.key).toBe('/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-30');
    expect(accounting.remarks).toEqual(['IPAMBlock 10.0.0.0/30: its value says 10.9.9.0/30; the key counts']);
  });

  test.each([
    ['allocations missing', { allocations: null }],
    ['allocations of texts', { allocations: ['a'] }],
    ['an attribute that is none', { attributes: [1] }],
    ['a handle that is no text', { attributes: [{ handle_id: 5 }] }],
    ['a list of free addresses that is none', { unallocated: {} }],
  ])('a block with %s is refused', (_what, changes) => {
    expect(categories(run(block('10.0.0.0/30', changes)))).toEqual(['unparseable']);
  });

  test('sequence numbers keep every digit; one that Kubernetes cannot hold is refused', () => {
    const of = (number: string) => {
      const made = block('10.0.0.0/30', { sequenceNumber: 0 });
      return run({ ...made, value: made.value.replace('"sequenceNumber":0', `"sequenceNumber":${number}`) });
    };
    expect(of('1795244676171828089').data.ipam.blocks[0]?.value.sequenceNumber).toBe(1795244676171828089n);
    expect(of('9223372036854775807').data.ipam.blocks[0]?.value.sequenceNumber).toBe(2n ** 63n - 1n);
    expect(categories(of('9223372036854775808'))).toEqual(['unparseable']);
  });

  test('what is marked as deleted travels so, with a remark', () => {
    const result = run(block('10.0.0.0/30', { deleted: true }));
    expect(result.data.ipam.blocks[0]?.value.deleted).toBe(true);
    expect(result.accounting.remarks).toHaveLength(1);
  });

  test('nothing of IPAM at all is an export as any other', () => {
    expect(run(resource('ippools', 'p')).data.ipam).toEqual({ affinities: [], blocks: [], handles: [] });
  });
});
