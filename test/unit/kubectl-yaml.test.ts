// Manifests mean here what they mean to kubectl: a mode that is read as decimal would be applied without a word.
import { readYaml } from '../../activities/calico/switch/kubectl-yaml';
import { parseManifest, titleOf } from '../../activities/calico/switch/manifest';

const valueOf = (text: string) => readYaml(text).documents[0]?.value;

describe('YAML as kubectl reads it', () => {
  it.each([
    ['0400', 256],
    ['0o17', 15],
    ['0x1F', 31],
    ['-017', -15],
    ['08', 8],
    ['1_000', 1000],
    ['9223372036854775807', 9223372036854775807n],
    ['9007199254740991', 9007199254740991],
    ['yes', true],
    ['Off', false],
    ['~', null],
    ['1.5', 1.5],
    ['1e+3', 1000],
    ['1e3', '1e3'],
    ['y', 'y'],
    ['12:34:56', '12:34:56'],
    ['2026-11-21', '2026-11-21'],
    ['66:00:00:00:00:01', '66:00:00:00:00:01'],
    ['"0400"', '0400'],
    ["'yes'", 'yes'],
  ])('%s is %p', (text, value) => {
    expect(valueOf(`v: ${text}`)).toEqual({ v: value });
  });

  it('knows anchors, merge keys and block texts', () => {
    const text = 'a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: |-\n  ---\n  {"datastore_type": "kubernetes"}\n';
    expect(valueOf(text)).toEqual({
      a: { x: 1, y: 2 },
      b: { x: 1, y: 3 },
      c: '---\n{"datastore_type": "kubernetes"}',
    });
  });

  it('names document and line of each mistake, and reads the others', () => {
    const { documents, mistakes } = readYaml('a: 1\n---\nb: [1,\n---\nc: 1\nc: 2\n---\nd: 4\n');
    expect(mistakes.map(({ document, line }) => [document, line])).toContainEqual([3, 6]);
    expect(mistakes.some(({ document }) => document === 2)).toBe(true);
    expect(documents.map(({ number, line }) => [number, line])).toEqual([
      [1, 1],
      [4, 8],
    ]);
  });
});

describe('a manifest', () => {
  it('is read through separators with remarks, empty documents and lists', () => {
    const text = [
      '# Source: calico/templates/calico-config.yaml',
      '--- # first',
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: kube-system}',
      '---',
      '# nothing here',
      '---',
      'apiVersion: v1\nkind: List\nitems:',
      '- {apiVersion: v1, kind: Namespace, metadata: {name: n}}',
      '- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}',
      '---',
      '',
    ].join('\n');
    expect(parseManifest(text, 'calico.yaml').map(titleOf)).toEqual([
      'ConfigMap kube-system/a',
      'Namespace n',
      'ConfigMap b',
    ]);
  });

  it('is refused with file, document and line of everything that is wrong with it', () => {
    const text = 'kind: ConfigMap\n---\napiVersion: v1\nkind: ConfigMap\n---\n- 1\n';
    expect(() => parseManifest(text, 'calico.yaml')).toThrow(
      /calico\.yaml cannot be used: document 1, line 1: apiVersion is missing; document 2, line 3: the ConfigMap has no metadata\.name; document 3, line 6: it is no object/,
    );
    expect(() => parseManifest('', 'calico.yaml')).toThrow(/there is no object in it/);
  });

  it('says an object once', () => {
    const one = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n';
    expect(() => parseManifest(`${one}---\n${one}`, 'calico.yaml')).toThrow(/ConfigMap a stands there twice/);
  });
});
