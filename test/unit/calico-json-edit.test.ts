import { assert, dictionary, jsonValue, property, string } from 'fast-check';
import { editMember } from '../../activities/calico/etcd/json-edit';

const path: [string, string] = ['spec', 'datastoreReady'];

it.each([
  ['{"spec":{"datastoreReady":true}}', '{"spec":{"datastoreReady":false}}'],
  ['{"spec":{"a":1.50,"datastoreReady":true,"z":1e3}}', '{"spec":{"a":1.50,"datastoreReady":false,"z":1e3}}'],
  ['{"spec":{"a":1}}', '{"spec":{"datastoreReady":false,"a":1}}'],
  ['{"spec":{}}', '{"spec":{"datastoreReady":false}}'],
  ['{}', '{"spec":{"datastoreReady":false}}'],
  ['{"kind":"x"}', '{"spec":{"datastoreReady":false},"kind":"x"}'],
  ['\n{ "spec" : { "datastoreReady" :\ttrue } }\n', '\n{ "spec" : { "datastoreReady" :\tfalse } }\n'],
  // Not those at another depth, in a string, or in a list.
  [
    '{"datastoreReady":true,"a":[{"spec":{"datastoreReady":true}}],"s":"\\"spec\\":{\\\\","spec":{"b":{"datastoreReady":true},"datastoreReady":true}}',
    '{"datastoreReady":true,"a":[{"spec":{"datastoreReady":true}}],"s":"\\"spec\\":{\\\\","spec":{"b":{"datastoreReady":true},"datastoreReady":false}}',
  ],
  ['{"spec":{"datastore\\u0052eady":true}}', '{"spec":{"datastore\\u0052eady":false}}'],
  // Of two with one name the last counts.
  ['{"spec":{"datastoreReady":true,"datastoreReady":true}}', '{"spec":{"datastoreReady":true,"datastoreReady":false}}'],
])('sets one member of %s and leaves every other byte', (text, wanted) => {
  expect(editMember(text, path, 'false')).toBe(wanted);
});

it.each([
  ['{"spec":{"datastoreReady":true}}', '{"spec":{}}'],
  ['{"spec":{"datastoreReady":true , "a":1}}', '{"spec":{"a":1}}'],
  ['{"spec":{"a":1, "datastoreReady":true}}', '{"spec":{"a":1}}'],
  ['{"spec":{"a":1}}', '{"spec":{"a":1}}'],
  ['{"kind":"x"}', '{"kind":"x"}'],
])('removes one member of %s', (text, wanted) => {
  expect(editMember(text, path, undefined)).toBe(wanted);
});

it('is undone byte for byte, whatever else there is and however it is laid out', () => {
  const other = dictionary(
    string({ unit: 'grapheme' }).filter((name) => name !== 'datastoreReady' && name !== '__proto__'),
    jsonValue(),
  );
  assert(
    property(other, other, (top, spec) => {
      for (const indent of [0, 2]) {
        const text = JSON.stringify({ ...top, spec }, undefined, indent);
        const locked = editMember(text, path, 'false');
        expect(JSON.parse(locked)).toEqual(
          JSON.parse(JSON.stringify({ ...top, spec: { ...spec, datastoreReady: false } })),
        );
        expect(editMember(locked, path, undefined)).toBe(text);
      }
    }),
  );
});
