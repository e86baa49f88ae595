// Writes a file that `calicoctl datastore migrate import` reads. Every document is JSON, which is YAML as well: no text in it can look like
// one of the lines that separate documents and parts, and nothing has to be guessed about quotes.
import { printJson, type Json, type JsonObject } from '../json';
import type { CalicoData, KeyedValue } from './calico-data';
import { ExportFileError } from './export-file-error';
import { fileKinds } from './kinds';
import { resourceVersion3 } from './read-resource';
import { textMember } from './values';

/** calicoctl refuses documents beyond 10 MiB. */
const documentLimitBytes = 4 * 1024 * 1024;

/** @throws ExportFileError when there is no cluster information: no reader would take the file */
export function writeExportFile({ clusterInformation, resources, ipam }: CalicoData): string {
  if (!clusterInformation)
    throw new ExportFileError(
      'part 2 (cluster information)',
      'none in the data',
      'the ClusterInformation of the source',
    );
  return [documents(resources), `${print(clusterInformation, 2)}\n`, `${ipamPart(ipam)}\n`].join('===\n');
}

function documents(resources: readonly JsonObject[]): string {
  const byKind = new Map<string, JsonObject[]>(fileKinds.map(({ kind }) => [kind, []]));
  for (const resource of resources) {
    const kind = textMember(resource, 'kind');
    const section = byKind.get(kind);
    if (!section)
      throw new ExportFileError('part 1 (resources)', `the kind ${kind} in the data`, 'a kind that a file may have');
    section.push(resource);
  }
  return [...byKind]
    .flatMap(([kind, section]) => chunks(section.map((resource) => print(resource))).map((items) => list(kind, items)))
    .map((document) => `${document}---\n`)
    .join('');
}

function list(kind: string, items: readonly string[]): string {
  const head = `{"kind":"${kind}List","apiVersion":"${resourceVersion3}","metadata":{},"items":[`;
  return `${head}\n${items.join(',\n')}\n]}\n`;
}

function chunks(items: readonly string[]): string[][] {
  const all: string[][] = [];
  let room = 0;
  for (const item of items) {
    const size = Buffer.byteLength(item);
    const current = all.at(-1);
    if (current && size <= room) current.push(item);
    else all.push([item]);
    room = current && size <= room ? room - size : documentLimitBytes - size;
  }
  return all;
}

/** One entry a line: a person can look at it, and it stays small. */
function ipamPart({ affinities, blocks, handles, config }: CalicoData['ipam']): string {
  const lists: [string, KeyedValue[]][] = [
    ['block_affinities', affinities],
    ['blocks', blocks],
    ['handles', handles],
  ];
  const members = lists
    .filter(([, entries]) => entries.length > 0)
    .map(([name, entries]) => `"${name}":[\n${entries.map(printEntry).join(',\n')}\n]`);
  if (config) members.push(`"config":${printEntry(config)}`);
  return `{${members.join(',\n')}}`;
}

function printEntry({ key, value }: KeyedValue): string {
  return print({ Key: key, Value: value, TTL: 0 });
}

/** JSON in which every character is one that YAML allows in a text. */
function print(value: Json, indent?: number): string {
  return printJson(value, indent).replace(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
