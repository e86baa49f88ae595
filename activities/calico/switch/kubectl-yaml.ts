// YAML as kubectl reads it (sigs.k8s.io/yaml, which follows YAML 1.1 in part): `defaultMode: 0400` is octal, `yes` and `on` are booleans,
// `1e3` without a sign is text, dates and `12:34:56` are text. A reader of YAML 1.2 would set the mode 0620 and nobody would notice.
// https://github.com/kubernetes-sigs/yaml/blob/master/goyaml.v2/resolve.go
import { isMap, LineCounter, parseAllDocuments, type ScalarTag } from 'yaml';
import type { Json } from '../json';

export interface YamlDocument {
  /** Counted from 1; documents without content count as well. */
  number: number;
  /** Of its first content, counted from 1. */
  line: number;
  /** Undefined for a document without content. */
  value: Json | undefined;
}

export interface YamlMistake {
  document: number;
  line: number;
  message: string;
}

const tags: ScalarTag[] = [
  {
    tag: 'tag:yaml.org,2002:null',
    default: true,
    test: /^(?:~|[Nn]ull|NULL)?$/,
    resolve: () => null,
  },
  {
    tag: 'tag:yaml.org,2002:bool',
    default: true,
    test: /^(?:[Yy]es|YES|[Nn]o|NO|[Tt]rue|TRUE|[Ff]alse|FALSE|[Oo]n|ON|[Oo]ff|OFF)$/,
    resolve: (text: string) => /^(?:yes|true|on)$/i.test(text),
  },
  {
    tag: 'tag:yaml.org,2002:int',
    default: true,
    test: /^[-+]?(?:0[bB][01_]+|0[oO][0-7_]+|0[xX][0-9a-fA-F_]+|[0-9][0-9_]*)$/,
    resolve: (text: string) => integerOf(text.replaceAll('_', '')),
  },
  {
    tag: 'tag:yaml.org,2002:float',
    default: true,
    test: /^[-+]?(?:[0-9]*\.[0-9]+|[0-9]+\.?|[0-9]*\.?[0-9]+[eE][-+][0-9]+)$/,
    resolve: (text: string) => Number(text),
  },
];

/** Reads every document; what is wrong with one does not hide what is wrong with the next. */
export function readYaml(text: string): { documents: YamlDocument[]; mistakes: YamlMistake[] } {
  const lineCounter = new LineCounter();
  const parsed = parseAllDocuments(text.replace(/^\uFEFF/, ''), {
    lineCounter,
    schema: 'failsafe',
    customTags: tags,
    merge: true,
    prettyErrors: false,
  });
  const documents: YamlDocument[] = [];
  const mistakes: YamlMistake[] = [];
  const lineAt = (offset: number) => Math.max(1, lineCounter.linePos(offset).line);
  for (const [index, document] of [...parsed].entries()) {
    const number = index + 1;
    for (const { message, pos } of document.errors) {
      mistakes.push({ document: number, line: lineAt(pos[0]), message });
    }
    if (document.errors.length > 0) continue;
    const line = lineAt(document.contents?.range[0] ?? document.range[0]);
    const empty = document.contents === null || (!isMap(document.contents) && document.toJS() === null);
    try {
      // toJS() gives what the tags above resolve to: nothing but JSON and bigints.
      documents.push({ number, line, value: empty ? undefined : (document.toJS({ maxAliasCount: 1000 }) as Json) });
    } catch (error) {
      mistakes.push({ document: number, line, message: error instanceof Error ? error.message : String(error) });
    }
  }
  return { documents, mistakes };
}

/** A leading zero means octal, where the digits allow it; beyond 2^53 every digit is kept. */
function integerOf(text: string): number | bigint {
  const negative = text.startsWith('-');
  const digits = text.replace(/^[-+]/, '');
  const exact = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits.slice(1)}` : digits.replace(/^0+(?=[0-9])/, ''));
  const value = negative ? -exact : exact;
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}
