// The resources of an export file: YAML or JSON documents between lines that begin with "---", each a resource, a list of a kind, or an array.
import { parseDocument, type ScalarTag, type SchemaOptions } from 'yaml';
import { isObject, parseJson, type Json, type JsonObject } from '../json';
import { Refused } from './disposition';
import { ExportFileError } from './export-file-error';
import { fileKind, type CalicoKind } from './kinds';
import { portableMetadata } from './metadata';
import { resourceVersion3 } from './read-resource';
import { objectMember, textMember } from './values';

/** @throws ExportFileError */
export function readDocuments(part: string, where: string): JsonObject[] {
  const documents = part.split(/^---.*$/m).filter((document) => document.replace(/^\s*#.*$/gm, '').trim() !== '');
  return documents.flatMap((document, index) => readDocument(document, `${where}, document ${index + 1}`));
}

function readDocument(text: string, where: string): JsonObject[] {
  const value = parse(text, where);
  if (Array.isArray(value)) return value.map((item, index) => readItem(item, undefined, `${where}, item ${index + 1}`));
  if (!isObject(value))
    throw new ExportFileError(where, value === null ? '"null"' : 'neither an object nor a list', 'a list of resources');
  const { kind, items } = value;
  if (typeof kind !== 'string' || !kind.endsWith('List')) return [readItem(value, undefined, where)];
  const listed = kind.slice(0, -'List'.length);
  const inside = `${where} (${kind})`;
  requireVersion(value, inside);
  if (listed !== '' && !fileKind(listed)) throw unknownKind(kind, where);
  if (!Array.isArray(items))
    throw new ExportFileError(inside, items === null ? 'null as items' : 'no items', 'a list of items');
  return items.map((item, index) => readItem(item, listed || undefined, `${inside}, item ${index + 1}`));
}

const members = new Set(['kind', 'apiVersion', 'metadata', 'spec', 'status']);

/** @param listed the kind of the list: for items that do not say theirs */
function readItem(item: Json, listed: string | undefined, where: string): JsonObject {
  if (!isObject(item)) throw new ExportFileError(where, item === null ? '"null"' : 'no object', 'a resource');
  const { kind: said } = item;
  const name = typeof said === 'string' && said !== '' ? said : listed;
  if (name === undefined) throw new ExportFileError(where, 'a resource without kind', 'kind and apiVersion');
  if (listed !== undefined && name !== listed)
    throw new ExportFileError(where, `the kind ${name}`, `the kind ${listed}`);
  const kind = fileKind(name);
  if (!kind) throw unknownKind(name, where);
  if (item.apiVersion !== undefined) requireVersion(item, where);
  const foreign = Object.keys(item).find((key) => !members.has(key));
  if (foreign !== undefined)
    throw new ExportFileError(where, `the member ${foreign}`, `only ${[...members].join(', ')} in a resource`);
  try {
    return {
      kind: name,
      apiVersion: resourceVersion3,
      metadata: readMetadata(item, kind, where),
      spec: objectMember(item, 'spec'),
      ...(isObject(item.status) && { status: item.status }),
    };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    throw new ExportFileError(where, `a ${name} of which ${error.reason}`, `a ${name} of ${resourceVersion3}`);
  }
}

/** As calicoctl does: what has no namespace belongs to the namespace "default". */
function readMetadata(item: JsonObject, { kind, namespaced }: CalicoKind, where: string): JsonObject {
  const metadata = objectMember(item, 'metadata');
  const name = textMember(metadata, 'name');
  const namespace = textMember(metadata, 'namespace');
  if (name === '') throw new ExportFileError(where, `a ${kind} without a name`, 'metadata.name');
  if (!namespaced && namespace !== '')
    throw new ExportFileError(where, `the namespace ${namespace}`, `none: a ${kind} belongs to the whole cluster`);
  return portableMetadata(metadata, name, namespaced ? namespace || 'default' : undefined);
}

function requireVersion({ apiVersion }: JsonObject, where: string): void {
  if (apiVersion !== resourceVersion3)
    throw new ExportFileError(where, `the apiVersion ${JSON.stringify(apiVersion) || 'undefined'}`, resourceVersion3);
}

function unknownKind(kind: string, where: string): ExportFileError {
  return new ExportFileError(where, `the kind ${kind}`, `a kind of ${resourceVersion3} that export files have`);
}

function parse(text: string, where: string): Json {
  if (/^\s*[[{]/.test(text)) {
    try {
      return parseJson(text);
    } catch {
      // YAML may begin like this as well.
    }
  }
  const document = parseDocument(text, yamlOptions);
  const [problem] = document.errors;
  if (problem)
    throw new ExportFileError(
      where,
      `text that is neither JSON nor YAML (${firstLine(problem.message)})`,
      'a document',
    );
  return fromYaml(document.toJS({ maxAliasCount: 0 }));
}

function firstLine(text: string): string {
  return text.slice(0, text.search(/\n|$/));
}

/** No dates, no "yes" for true, no octal "0o17": calicoctl quotes none of the texts that would need it here. */
const yamlOptions = {
  version: '1.2',
  schema: 'core',
  intAsBigInt: true,
  uniqueKeys: true,
  customTags: (tags) => tags.filter((tag) => typeof tag === 'string' || (tag as ScalarTag).format !== 'OCT'),
} as const satisfies SchemaOptions & Record<string, unknown>;

function fromYaml(value: unknown): Json {
  if (Array.isArray(value)) return value.map(fromYaml);
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, fromYaml(inner)]));
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return null;
}
