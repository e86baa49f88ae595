// What is promised of the look at the definitions before the lock: whatever the apiserver would drop or refuse for certain is named.
import { misfits } from '../../../activities/calico/kubernetes/schema';
import type { JsonObject } from '../../../activities/calico/json';

const text: JsonObject = { type: 'string' };
const schema: JsonObject = {
  type: 'object',
  required: ['cidr', 'mode'],
  properties: {
    cidr: text,
    mode: { type: 'string', enum: ['Always', 'Never'], default: 'Never' },
    asNumber: { type: 'integer', format: 'int32' },
    sequence: { type: 'integer', format: 'int64' },
    order: { type: 'number' },
    port: { 'x-kubernetes-int-or-string': true },
    nets: { type: 'array', items: text },
    secondary: { type: 'object', additionalProperties: text },
    open: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    allocations: { type: 'array', items: { type: 'integer', nullable: true } },
  },
};
const of = (members: JsonObject): string[] => misfits({ cidr: '10.0.0.0/8', ...members }, schema, 'spec');

describe('what a definition would not keep', () => {
  it('is nothing where all of it is known, up to the largest numbers', () => {
    expect(
      of({
        asNumber: 2 ** 31 - 1,
        sequence: 2n ** 63n - 1n,
        order: 1e-7,
        port: '80:90',
        nets: ['::/0'],
        secondary: { '===': '---' },
        open: { anything: { goes: [1] } },
        allocations: [null, 0],
      }),
    ).toEqual([]);
    expect(of({ port: 80, order: 10n ** 20n })).toEqual([]);
  });

  it('is a member that it does not know, at any depth, unless it is null and so says nothing', () => {
    expect(of({ removedLongAgo: true, another: null })).toEqual([
      'spec.removedLongAgo: the definition does not know it, so it would be dropped',
    ]);
    const list: JsonObject = { type: 'array', items: schema };
    expect(misfits([{ cidr: 'x' }, { cidr: 'x', of: 'old' }], list, 'spec.rules')).toEqual([
      'spec.rules[1].of: the definition does not know it, so it would be dropped',
    ]);
    expect(misfits({ toString: 'x' }, { type: 'object', properties: {} }, 'spec')).toHaveLength(1);
  });

  it.each<[string, JsonObject, string]>([
    ['an AS number beyond 32 bits', { asNumber: 4_200_000_001 }, 'spec.asNumber: it is beyond int32'],
    ['a sequence number beyond 63 bits', { sequence: 2n ** 63n }, 'spec.sequence: it is beyond int64'],
    ['a text for a list', { nets: '10.0.0.0/8' }, 'spec.nets: it is no array'],
    ['a number in a list of texts', { nets: ['a', 1] }, 'spec.nets[1]: it is no text'],
    ['a value that is not listed', { mode: 'Sometimes' }, 'spec.mode: it is none of ["Always","Never"]'],
    ['half a port', { port: 80.5 }, 'spec.port: it is neither a whole number nor a text'],
  ])('is %s', (_, members, expected) => {
    expect(of(members)).toEqual([expected]);
  });

  it('is an object that lacks what is required, but not where a default stands in', () => {
    expect(misfits({ cidr: null }, schema, 'spec')).toEqual(['spec.cidr: it is missing']);
  });
});
