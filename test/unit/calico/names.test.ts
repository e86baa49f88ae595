import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { isObject, parseJson, printJson } from '../../../activities/calico/json';
import { canonicalCidr } from '../../../activities/calico/model/cidr';
import { affinityLabels, affinityName, blockName, handleName } from '../../../activities/calico/model/ipam-names';
import { parseKey, printKey } from '../../../activities/calico/model/keys';
import { crdKinds } from '../../../activities/calico/model/kinds';
import { isObjectName } from '../../../activities/calico/model/kubernetes-names';
import { customResourceMetadata, metadataOf, readStash } from '../../../activities/calico/model/metadata';
import { policyName, storedPolicyName, tierOfStoredName } from '../../../activities/calico/model/policy-names';

const v4Cidr = fc
  .tuple(fc.nat(0xffffffff), fc.integer({ min: 0, max: 32 }))
  .map(([address, prefix]) => `${[24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.')}/${prefix}`);
const v6Cidr = fc
  .tuple(fc.array(fc.oneof(fc.constant(0), fc.nat(0xffff)), { minLength: 8, maxLength: 8 }), fc.nat(128))
  .map(([groups, prefix]) => `${groups.map((group) => group.toString(16)).join(':')}/${prefix}`);
const cidr = fc.oneof(v4Cidr, v6Cidr).map((text) => canonicalCidr(text)!);
const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const dotted = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));

describe('names of blocks', () => {
  test.each([
    ['10.64.0.0/26', '10-64-0-0-26'],
    ['fd00:10:64::40/122', 'fd00-10-64--40-122'],
    ['fd00:10:64:0:1:2:3:40/122', 'fd00-10-64-0-1-2-3-40-122'],
  ])('%s is %s', (text, name) => {
    expect(blockName(text)).toBe(name);
  });

  test('different blocks have different names', () => {
    fc.assert(fc.property(cidr, cidr, (left, right) => (left === right) === (blockName(left) === blockName(right))));
  });
});

describe('CIDRs are printed as Go prints them', () => {
  test.each([
    ['10.64.0.9/26', '10.64.0.0/26'],
    ['FD00:0010:0064:0000:0000:0000:0000:0047/122', 'fd00:10:64::40/122'],
    ['1:0:0:2:0:0:0:3/128', '1:0:0:2::3/128'],
    ['2001:db8:0:1:1:1:1:1/128', '2001:db8:0:1:1:1:1:1/128'],
    ['::/0', '::/0'],
    ['::1/128', '::1/128'],
    ['::ffff:10.1.2.3/120', '10.1.2.0/24'],
    ['64:ff9b::1.2.3.4/128', '64:ff9b::102:304/128'],
  ])('%s is %s', (text, canonical) => {
    expect(canonicalCidr(text)).toBe(canonical);
  });

  test.each([
    '10.64.0.0',
    '10.64.0/26',
    '10.064.0.0/26',
    '10.64.0.0/33',
    '256.0.0.0/8',
    'fd00::1::2/64',
    '1:2/64',
    ':::/0',
    'fd00::/129',
    '',
  ])('%j is none', (text) => {
    expect(canonicalCidr(text)).toBeUndefined();
  });

  test('a printed one is printed the same again', () => {
    fc.assert(fc.property(cidr, (text) => canonicalCidr(text) === text));
  });
});

describe('names of affinities', () => {
  test('an ordinary one is the node and the block', () => {
    expect(affinityName('k8s-node-a', '10.64.0.0/26')).toBe('k8s-node-a-10-64-0-0-26');
  });

  test('one of a long node is cut to 252 characters and ends with a hash', () => {
    const host = [60, 60, 60, 56].map((length, index) => 'nmop'.charAt(index).repeat(length)).join('.');
    const name = affinityName(host, '10.64.11.0/26');
    expect(name).toBe(`${host.slice(0, 226)}-10-64-11-0-26-8bbbcbc6dec`);
    expect(name).toHaveLength(252);
  });

  test('every one fits, and only those that are too long are cut', () => {
    const host = fc.integer({ min: 1, max: 253 }).map((length) => 'n'.repeat(length));
    fc.assert(
      fc.property(host, cidr, (node, block) => {
        const plain = `${node}-${blockName(block)}`;
        const name = affinityName(node, block);
        const hash = createHash('sha256')
          .update(`${node}+${blockName(block)}`)
          .digest('hex')
          .slice(0, 11);
        return plain.length < 253
          ? name === plain
          : name.length === 252 && name.endsWith(`-${blockName(block)}-${hash}`);
      }),
    );
  });

  test('labels are those by which Calico 3.31 looks for them', () => {
    expect(affinityLabels('k8s-node-a', 'host', 'fd00::/122')).toEqual({
      'projectcalico.org/affinity-type': 'host',
      'projectcalico.org/hostname-hash': 'AJRHV4QHL4SSZYMWPK4TAWXV3UY527BBPX6GSXSOA6YLEDXFFL2Q',
      'projectcalico.org/ip-version': '6',
    });
  });
});

test('handles are lower case, and nothing else is changed', () => {
  expect(handleName('k8s-pod-network.ABCdef01')).toBe('k8s-pod-network.abcdef01');
});

describe('keys', () => {
  const key = fc.oneof(
    fc.record({ type: fc.constant('block' as const), cidr }),
    fc.record({
      type: fc.constant('affinity' as const),
      kind: fc.constantFrom('host' as const, 'virtual' as const),
      host: dotted,
      cidr,
    }),
    fc.record({ type: fc.constant('handle' as const), id: fc.stringMatching(/^[A-Za-z0-9._-]{1,40}$/) }),
    fc.record({ type: fc.constant('resource' as const), plural: label, namespace: label, name: dotted }),
    fc.record({ type: fc.constant('resource' as const), plural: label, name: dotted }),
  );

  test('what is printed is parsed back, below any prefix', () => {
    fc.assert(
      fc.property(key, fc.constantFrom('/calico', '/a/b'), (made, prefix) => {
        expect(parseKey(printKey(made, prefix), prefix)).toEqual(made);
      }),
    );
  });

  test.each([
    ['/calico/ipam/v2/host/node-a', 'host marker'],
    ['/calico/felix/v1/host/node-a/endpoint/x', 'Felix status'],
    ['/calico/v1/Ready', 'v1 data'],
    ['/calico/bgp/v1/global/as_num', 'v1 data'],
    ['/calico/ipam/v2/assignment/ipv4/block/10.64.0.0', 'unknown'],
    ['/calico/resources/v3/projectcalico.org/ippools/a/b/c', 'unknown'],
    ['/calicoctl/x', 'unknown'],
  ])('%s is %s', (text, what) => {
    expect(parseKey(text, '/calico')).toEqual({ type: 'other', what });
  });

  test('addresses that are not spelled as Go spells them come out as Go does', () => {
    expect(parseKey('/calico/ipam/v2/assignment/ipv6/block/FD00:0:0::40-122', '/calico')).toEqual({
      type: 'block',
      cidr: 'fd00::40/122',
    });
  });
});

describe('names of policies', () => {
  test.each([
    ['allow-all', 'default.allow-all'],
    ['default.explicit', 'default.explicit'],
    ['sec.deny', 'sec.deny'],
    ['knp.default.x', 'knp.default.x'],
    ['ossg.default.x', 'ossg.default.x'],
  ])('up to 3.31 %s is stored as %s, and from 3.32 on as it is', (name, stored) => {
    expect(storedPolicyName(name, 'prefixed')).toBe(stored);
    expect(storedPolicyName(name, 'bare')).toBe(name);
  });

  test.each([
    ['default.legacy', undefined, '', 'legacy'],
    ['default.legacy', undefined, 'default', 'legacy'],
    ['default.explicit', '{"name":"default.explicit"}', '', 'default.explicit'],
    ['sec.deny', undefined, 'sec', 'sec.deny'],
    ['default.odd', undefined, 'sec', 'default.odd'],
    ['bare', undefined, '', 'bare'],
    ['default.x', '{}', '', 'x'],
    ['default.x', '', '', 'x'],
  ])('%s with the annotation %j in tier %j is %s', (stored, stash, tier, name) => {
    expect(policyName(stored, stash, tier)).toBe(name);
  });

  test.each(['nonsense', '"text"', 'null', '[]'])('the annotation %j makes a policy unreadable', (stash) => {
    expect(() => policyName('default.x', stash, '')).toThrow('no JSON object');
  });

  test.each([
    ['default.x', 'default'],
    ['x', 'default'],
    ['sec.deny', 'sec'],
    ['ossg.default.x', 'default'],
    ['kanp.adminnetworkpolicy.x', 'adminnetworkpolicy'],
  ])('%s without a tier belongs to %s', (stored, tier) => {
    expect(tierOfStoredName(stored)).toBe(tier);
  });

  test('a name that is stored with its annotation is read back, in both namings', () => {
    fc.assert(
      fc.property(dotted, fc.constantFrom('prefixed' as const, 'bare' as const), (name, naming) => {
        expect(policyName(storedPolicyName(name, naming), printJson({ name }), 'default')).toBe(name);
      }),
    );
  });
});

test('labels and annotations are all in the stash, and only those of Calico on the custom resource', () => {
  const key = fc.oneof(
    fc.constantFrom('projectcalico.org/tier', 'a.operator.tigera.io/b'),
    fc.string({ minLength: 1 }),
  );
  const texts = fc.dictionary(key, fc.string(), { noNullPrototype: true });
  fc.assert(
    fc.property(dotted, texts, texts, (name, labels, annotations) => {
      const metadata = customResourceMetadata({ metadata: { name, labels, annotations } }, 'cr', true);
      const shown = metadataOf({ metadata });
      const stash = readStash(isObject(metadata.annotations) ? metadata.annotations : {});
      expect(stash).toMatchObject({ name, creationTimestamp: null });
      expect(stash?.labels ?? {}).toEqual(labels);
      expect(stash?.annotations ?? {}).toEqual(annotations);
      expect(Object.keys(shown.labels).every((shownKey) => /projectcalico|tigera/.test(shownKey))).toBe(true);
    }),
  );
});

test('whole numbers of 64 bits survive parsing and printing digit by digit', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n }), (number) => {
      expect(printJson(parseJson(`{"n":${number}}`))).toBe(`{"n":${number}}`);
    }),
  );
});

test('names of Kubernetes are told from others', () => {
  for (const name of ['a', 'a.b', 'a-b.c0', 'x'.repeat(253)]) expect(isObjectName(name)).toBe(true);
  for (const name of ['', 'A', 'a_b', 'a..b', '-a', 'a-', 'a.-b', 'a/b', 'x'.repeat(254)])
    expect(isObjectName(name)).toBe(false);
});

test('the registry has the 22 kinds of crd.projectcalico.org/v1', () => {
  expect(new Set(crdKinds.map(({ plural }) => plural)).size).toBe(22);
});
