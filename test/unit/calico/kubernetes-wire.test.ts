import fc from 'fast-check';
import { equalJson, type Json } from '../../../activities/calico/json';
import { describePath } from '../../../activities/calico/kubernetes/answers';
import { parseWire, printWire } from '../../../activities/calico/kubernetes/wire-json';

const number = fc.oneof(
  fc.integer(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    number,
    fc.string(),
    fc.array(tie('json')),
    fc.dictionary(
      fc.string().filter((key) => key !== '__proto__'),
      tie('json'),
    ),
  ),
}));

test('what goes over the wire comes back with every digit, whichever parser read it', () => {
  fc.assert(
    fc.property(json, (value) => {
      expect(equalJson(parseWire(printWire(value)), value)).toBe(true);
    }),
  );
});

test('the digits that matter are not rounded', () => {
  expect(parseWire('{"n":1795244676171828089}')).toEqual({ n: 1795244676171828089n });
  expect(parseWire('{"n":9007199254740991}')).toEqual({ n: 9007199254740991 });
  expect(printWire({ n: 1795244676171828089n })).toBe('{"n":1795244676171828089}');
});

test.each([
  ['/apis/crd.projectcalico.org/v1/ippools/default', undefined, 'ippools default'],
  ['/apis/crd.projectcalico.org/v1/namespaces/shop/networkpolicies/web?limit=1', undefined, 'networkpolicies shop/web'],
  ['/apis/crd.projectcalico.org/v1/namespaces/shop/networkpolicies', 'web', 'networkpolicies shop/web'],
  ['/apis/crd.projectcalico.org/v1/namespaces/shop/networkpolicies', undefined, 'networkpolicies of namespace shop'],
  ['/api/v1/nodes/a/status', undefined, 'nodes/status a'],
  ['/api/v1/namespaces', undefined, 'namespaces'],
  ['/api/v1/namespaces/shop', undefined, 'namespaces shop'],
])('people are told of %s (%s) as %s', (path, name, told) => {
  expect(describePath(path, name)).toBe(told);
});
