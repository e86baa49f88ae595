import fc from 'fast-check';
import { equalJson, parseJson, printJson, type Json } from '../../../activities/calico/json';

const number = fc.oneof(
  fc.integer(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  // Whole doubles beyond 2^53 have no digits of their own to keep: whole numbers of that size are bigints here.
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .filter((double) => !Number.isInteger(double) || Number.isSafeInteger(double)),
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

test('what is printed comes back with every digit, whichever parser reads it', () => {
  fc.assert(
    fc.property(json, (value) => {
      expect(equalJson(parseJson(printJson(value)), value)).toBe(true);
    }),
  );
});

test('the digits that matter are not rounded', () => {
  expect(parseJson('{"n":1795244676171828089}')).toEqual({ n: 1795244676171828089n });
  expect(parseJson('{"n":9007199254740991}')).toEqual({ n: 9007199254740991 });
  expect(printJson({ n: 1795244676171828089n })).toBe('{"n":1795244676171828089}');
});

test('long numbers are told from those in texts, in fractions and in exponents', () => {
  const text =
    '{"1795244676171828089":"1795244676171828089","a":0.1795244676171828089,"b":1795244676171828089e1,"c":[-1795244676171828089]}';
  expect(parseJson(text)).toEqual({
    '1795244676171828089': '1795244676171828089',
    a: 0.1795244676171828,
    b: 17952446761718281000,
    c: [-1795244676171828089n],
  });
});

test('a text that looks like our own mark stays a text', () => {
  for (const text of ['\u0000bigint:12', '\u0000bigint:x', 'bigint:1795244676171828089'])
    expect(parseJson(JSON.stringify({ text, number: 1 }).replace('1}', '1795244676171828089}'))).toEqual({
      text,
      number: 1795244676171828089n,
    });
});

test('of a key that is said twice the last value counts', () => {
  expect(parseJson('{"a":1,"a":2}')).toEqual({ a: 2 });
});

test.each(['', '{', '{"a":01}', '[1795244676171828089', "{'a':1}", '{"a":1795244676171828089,}', 'nil'])(
  '%j is no JSON',
  (text) => {
    expect(() => parseJson(text)).toThrow();
  },
);

test('a text of many megabytes with long numbers is read whole', () => {
  const block = `{"sequenceNumber":1795244676171828089,"allocations":[${Array.from({ length: 64 }, () => 'null').join()}]}`;
  const text = `[${Array.from({ length: 50_000 }, () => block).join()}]`;
  const value = parseJson(text);
  expect(Array.isArray(value) && value.length).toBe(50_000);
  expect(Array.isArray(value) && value[49_999]).toMatchObject({ sequenceNumber: 1795244676171828089n });
});
