import fc from 'fast-check';
import { printJson, type JsonObject } from '../../../activities/calico/json';
import type { CalicoData } from '../../../activities/calico/model/calico-data';
import { exportEntries } from '../../../activities/calico/model/export';
import { ExportFileError, readExportFile, writeExportFile } from '../../../activities/calico/model/export-file';
import { readDocuments } from '../../../activities/calico/model/export-file-documents';
import { goldenEntries, goldenExport, without } from './golden';

const clusterInformation = {
  kind: 'ClusterInformation',
  apiVersion: 'projectcalico.org/v3',
  metadata: { name: 'default' },
  spec: { clusterGUID: 'g' },
};
const none = { affinities: [], blocks: [], handles: [] };

function pool(metadata: JsonObject, spec: JsonObject = {}): JsonObject {
  return { kind: 'IPPool', apiVersion: 'projectcalico.org/v3', metadata, spec };
}

function data(...resources: JsonObject[]): CalicoData {
  return { clusterInformation, resources, ipam: none };
}

/** A file around these parts. */
function file(resources: string, ipam = '{}', cluster = printJson(clusterInformation)): string {
  return `${resources}---\n===\n${cluster}\n===\n${ipam}\n`;
}

function problem(text: string): string {
  try {
    readExportFile(text);
  } catch (error) {
    expect(error).toBeInstanceOf(ExportFileError);
    return (error as ExportFileError).message;
  }
  throw new Error('expected the file to be rejected');
}

describe('what is written', () => {
  test('is read back as it was, whatever stands in a text, and calicoctl can split it', () => {
    const awkward = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '===\n',
        '\n===\n',
        '\n---\n',
        'yes',
        'on',
        '0123',
        '1_000',
        '12:34:56',
        '1e3',
        'null',
        '~',
        '2026-01-01',
        '\u007f\u0085\u2028\ufeff',
        '😀',
        '\ud800',
      ),
    );
    fc.assert(
      fc.property(awkward, awkward, (key, value) => {
        const made = data(pool({ name: 'p', annotations: { [`x${key}`]: value } }, { description: value }));
        const text = writeExportFile(made);
        expect(text.split('===\n')).toHaveLength(3);
        expect(readExportFile(text)).toEqual(made);
        const [document = ''] = text.split('---\n');
        // As YAML, which is what calicoctl takes it for.
        expect(readDocuments(`# a comment\n${document}`, '')).toEqual(made.resources);
      }),
    );
  });

  test('has only characters that YAML allows', () => {
    const text = writeExportFile(
      data(pool({ name: 'p', annotations: { a: '\u0000\u007f\u0085\u2028\u2029\ufeff\ufffe é 😀' } })),
    );
    expect(text).toContain('é 😀');
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/);
  });

  test('gives every item its kind and apiVersion, and no list more than calicoctl takes', () => {
    const big = 'x'.repeat(1024 * 1024);
    const pools = Array.from({ length: 11 }, (_, index) => pool({ name: `p${index}` }, { description: big }));
    const text = writeExportFile(data(...pools));
    const documents = text
      .split('===\n')[0]!
      .split('---\n')
      .filter((document) => document !== '');
    expect(documents).toHaveLength(4);
    for (const document of documents) {
      expect(Buffer.byteLength(document)).toBeLessThan(10 * 1024 * 1024);
      const { kind, items } = JSON.parse(document) as { kind: string; items: JsonObject[] };
      expect(kind).toBe('IPPoolList');
      for (const item of items) expect(item).toMatchObject({ kind: 'IPPool', apiVersion: 'projectcalico.org/v3' });
    }
    expect(readExportFile(text).resources).toEqual(pools);
  });

  test('has filters before the peers that need them', () => {
    const of = (kind: string) => ({ ...pool({ name: 'x' }), kind });
    const text = writeExportFile(data(of('BGPPeer'), of('BGPFilter')));
    expect(text.indexOf('BGPFilterList')).toBeLessThan(text.indexOf('BGPPeerList'));
  });

  test('is refused without a cluster information', () => {
    expect(() => writeExportFile({ resources: [], ipam: none })).toThrow(ExportFileError);
  });

  test('has no digit less than the source', () => {
    const text = writeExportFile(exportEntries(goldenEntries(), { prefix: '/calico', revision: '1' }).data);
    expect(text).toContain('1795243691692796427');
    expect(text).toContain('"10":1795243691692796424');
  });
});

describe('what is read', () => {
  const expected = readExportFile(goldenExport);

  test.each([
    ['with CRLF', goldenExport.replace(/\n/g, '\r\n')],
    ['with a byte order mark', `\ufeff${goldenExport}`],
    ['without its last newline', goldenExport.trimEnd()],
    ['with comments', `# made by hand\n${goldenExport}`],
  ])("calicoctl's file %s is the same", (_what, text) => {
    expect(readExportFile(text)).toEqual(expected);
  });

  test('files of older versions lack kinds, and that is well', () => {
    const sections = goldenExport.split('---\n');
    const older = sections
      .filter((section) => !/kind: (Tier|Staged\w+|IPReservation|BGPFilter)List/.test(section))
      .join('---\n');
    const { resources } = readExportFile(older);
    expect(resources.some(({ kind }) => kind === 'NetworkPolicy')).toBe(true);
    expect(resources.some(({ kind }) => kind === 'Tier')).toBe(false);
  });

  test('single resources, arrays, chunks, lists of one kind whose items do not say it, and generic lists', () => {
    const one = printJson(pool({ name: 'a' }));
    const bare = printJson(without(pool({ name: 'b' }), 'kind', 'apiVersion'));
    const head = '{"apiVersion":"projectcalico.org/v3","kind":';
    const text = file(
      `${one}\n---\n[${one.replace('"a"', '"c"')}]\n--- # more\n${head}"IPPoolList","items":[${bare}]}\n---\n\n---\n${head}"List","items":[${one.replace('"a"', '"d"')}]}\n`,
    );
    expect(readExportFile(text).resources).toEqual(['a', 'c', 'b', 'd'].map((name) => pool({ name })));
  });

  test('texts that only look like something else stay texts', () => {
    const yaml = `apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n  name: p\n  annotations: {a: "yes", b: '1_000', c: 12:34:56, d: 2026-01-01, e: 0o17, f: 66:00:00:00:00:01}\nspec:\n  big: 1795244676171828089\n  small: 5\n  note: |\n    ===\n    ---\n`;
    const [found] = readExportFile(file(yaml)).resources;
    expect(found).toMatchObject({
      metadata: {
        annotations: { a: 'yes', b: '1_000', c: '12:34:56', d: '2026-01-01', e: '0o17', f: '66:00:00:00:00:01' },
      },
      spec: { big: 1795244676171828089n, small: 5, note: '===\n---\n' },
    });
  });

  test('what has no namespace belongs to the namespace "default"', () => {
    const [set] = readExportFile(
      file('{"apiVersion":"projectcalico.org/v3","kind":"NetworkSet","metadata":{"name":"s"}}\n'),
    ).resources;
    expect(set?.metadata).toEqual({ name: 's', namespace: 'default' });
  });

  test('IPAM in any letter case, with members that nobody knows, and affinities without a value', () => {
    const ipam = `{"Block_Affinities":[{"key":"/calico/ipam/v2/host/a/ipv4/block/10.0.0.0-26","value":null,"TTL":5}],
      "handles":[{"KEY":"/calico/ipam/v2/handle/h","Value":{"block":{"10.0.0.0/26":1}},"extra":1}],"other":{}}`;
    expect(readExportFile(file('', ipam)).ipam).toEqual({
      affinities: [{ key: '/calico/ipam/v2/host/a/ipv4/block/10.0.0.0-26', value: { state: '', deleted: false } }],
      blocks: [],
      handles: [{ key: '/calico/ipam/v2/handle/h', value: { block: { '10.0.0.0/26': 1 } } }],
    });
  });
});

describe('what is rejected', () => {
  test('a file that is cut off anywhere in front of its end', () => {
    const text = writeExportFile(exportEntries(goldenEntries(), { prefix: '/calico', revision: '1' }).data);
    for (let length = 0; length < text.length - 2; length += 997)
      expect(problem(text.slice(0, length))).toContain('cannot be read');
    for (let length = 0; length < goldenExport.length - 2; length += 4999)
      expect(problem(goldenExport.slice(0, length))).toContain('cannot be read');
  });

  test('the nothing that calicoctl writes when its versions differ', () => {
    expect(problem(file('null\n---\nnull\n'))).toContain('part 1 (resources), document 1: found "null"');
  });

  test.each([
    ['one separator more', `${goldenExport}===\n`, 'found 4 parts'],
    ['one separator less', goldenExport.replace('===\n', ''), 'found 2 parts'],
    ['nothing', '', 'found 1 part;'],
    [
      'parts in another order',
      goldenExport.split('===\n').reverse().join('===\n'),
      'part 1 (resources), document 1: found a resource without kind',
    ],
    ['an empty cluster part', file('', '{}', ''), 'part 2 (cluster information): found nothing'],
    ['a cluster part that is null', file('', '{}', 'null'), 'part 2 (cluster information): found null'],
    ['a cluster part of another kind', file('', '{}', '{"kind":"Tier","spec":{}}'), 'an object of kind Tier'],
    ['IPAM that is null', file('', 'null'), 'part 3 (IPAM): found null'],
    ['IPAM without its end', file('', '{"blocks":[{"Key":'), 'part 3 (IPAM): found text that is no JSON'],
    [
      'a key of IPAM that is none',
      file('', '{"blocks":[{"Key":"/calico/x","Value":{}}]}'),
      'part 3 (IPAM), blocks, entry 1: found the key "/calico/x"',
    ],
    [
      'a value of IPAM that is none',
      file('', '{"handles":[{"Key":"/calico/ipam/v2/handle/h","Value":null}]}'),
      'found null; expected an object as Value',
    ],
    [
      'a block of another shape',
      file(
        '',
        '{"blocks":[{"Key":"/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26","Value":{"cidr":"10.0.0.0/26"}}]}',
      ),
      'allocations is not a list',
    ],
    [
      'an unknown kind',
      file('apiVersion: projectcalico.org/v3\nkind: PacketCapture\nmetadata: {name: a}\n'),
      'found the kind PacketCapture',
    ],
    [
      'a list of an unknown kind',
      file('apiVersion: projectcalico.org/v3\nkind: PacketCaptureList\nitems: []\n'),
      'the kind PacketCaptureList',
    ],
    [
      'a kind that files do not have',
      file('apiVersion: projectcalico.org/v3\nkind: Profile\nmetadata: {name: a}\n'),
      'the kind Profile',
    ],
    ['another API', file('apiVersion: v1\nkind: IPPool\nmetadata: {name: a}\n'), 'the apiVersion "v1"'],
    [
      'an item of another kind than its list',
      file('{"apiVersion":"projectcalico.org/v3","kind":"TierList","items":[{"kind":"IPPool"}]}\n'),
      'document 1 (TierList), item 1: found the kind IPPool',
    ],
    [
      'an item that is null',
      file('{"apiVersion":"projectcalico.org/v3","kind":"TierList","items":[null]}\n'),
      'item 1: found "null"',
    ],
    ['a list without items', file('{"apiVersion":"projectcalico.org/v3","kind":"TierList"}\n'), 'no items'],
    ['a resource without a kind', file('{"metadata":{"name":"a"}}\n'), 'a resource without kind'],
    [
      'a resource without a name',
      file('{"kind":"Tier","apiVersion":"projectcalico.org/v3"}\n'),
      'a Tier without a name',
    ],
    [
      'a namespace where none belongs',
      file('{"kind":"Tier","metadata":{"name":"a","namespace":"b"}}\n'),
      'found the namespace b',
    ],
    ['an unknown member', file('{"kind":"Tier","metadata":{"name":"a"},"data":{}}\n'), 'found the member data'],
    ['a member that is there twice', file('kind: Tier\nkind: IPPool\n'), 'neither JSON nor YAML'],
    ['text that is no document', file('hello\n'), 'neither an object nor a list'],
  ])('%s', (_what, text, message) => {
    expect(problem(text)).toContain(message);
  });
});
