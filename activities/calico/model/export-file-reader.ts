// Reads export files: our own, and those that calicoctl 3.25 to 3.32 wrote. Whatever cannot be understood whole is rejected with its place;
// a file that was cut short, or that holds the nothing that calicoctl prints when it failed to read, must not pass for an empty datastore.
import { isObject, parseJson, type Json, type JsonObject } from '../json';
import type { CalicoData, KeyedValue } from './calico-data';
import { Refused } from './disposition';
import { ExportFileError } from './export-file-error';
import { readDocuments } from './export-file-documents';
import { checkIpamValue, filePrefix, type IpamKey } from './ipam-entries';
import { parseKey, printKey } from './keys';

/** @throws ExportFileError */
export function readExportFile(text: string): CalicoData {
  const [resources, cluster, ipam] = partsOf(text);
  return {
    clusterInformation: readCluster(cluster),
    resources: readDocuments(resources, 'part 1 (resources)'),
    ipam: readIpam(ipam),
  };
}

/** The cluster information alone: at once, however large the other parts are. @throws ExportFileError for a file of fewer or more parts, too */
export function readClusterInformation(text: string): JsonObject {
  return readCluster(partsOf(text)[1]);
}

function partsOf(text: string): [resources: string, cluster: string, ipam: string] {
  const lines = text.replace(/^\ufeff/, '').replace(/\r\n/g, '\n');
  const parts = lines.split(/^===[ \t]*(?:\n|$)/m);
  const [resources, cluster, ipam] = parts;
  if (resources === undefined || cluster === undefined || ipam === undefined || parts.length !== 3)
    throw new ExportFileError(
      'its top level',
      `${parts.length} ${parts.length === 1 ? 'part' : 'parts'}`,
      'three parts (resources, cluster information, IPAM) with a line "===" between them, the last of them complete',
    );
  return [resources, cluster, ipam];
}

function readCluster(text: string): JsonObject {
  const where = 'part 2 (cluster information)';
  const value = json(text, where, 'a ClusterInformation as JSON');
  if (!isObject(value) || value.kind !== 'ClusterInformation' || !isObject(value.spec))
    throw new ExportFileError(where, brief(value), 'a ClusterInformation with a spec');
  return value;
}

function readIpam(text: string): CalicoData['ipam'] {
  const where = 'part 3 (IPAM)';
  const value = json(
    text,
    where,
    'a JSON object with block_affinities, blocks, handles and config, complete to its last brace',
  );
  if (!isObject(value)) throw new ExportFileError(where, brief(value), 'a JSON object');
  const config = member(value, 'config') ?? null;
  return {
    affinities: readEntries(value, 'block_affinities', 'affinity', where),
    blocks: readEntries(value, 'blocks', 'block', where),
    handles: readEntries(value, 'handles', 'handle', where),
    ...(config !== null && { config: readEntry(config, 'ipam-config', `${where}, config`) }),
  };
}

function readEntries(ipam: JsonObject, name: string, type: IpamKey['type'], where: string): KeyedValue[] {
  const entries = member(ipam, name) ?? [];
  if (!Array.isArray(entries)) throw new ExportFileError(`${where}, ${name}`, brief(entries), 'a list');
  return entries.map((entry, index) => readEntry(entry, type, `${where}, ${name}, entry ${index + 1}`));
}

function readEntry(entry: Json, type: IpamKey['type'], where: string): KeyedValue {
  if (!isObject(entry)) throw new ExportFileError(where, brief(entry), 'an object with Key and Value');
  const text = member(entry, 'Key') ?? '';
  const key = typeof text === 'string' ? parseKey(text, filePrefix) : undefined;
  if (typeof text !== 'string' || key?.type !== type)
    throw new ExportFileError(where, `the key ${brief(text)}`, `the key of a ${type} below ${filePrefix}/ipam/v2`);
  // An affinity of old Calico versions has no value.
  const value = member(entry, 'Value') ?? (type === 'affinity' ? { state: '', deleted: false } : null);
  if (!isObject(value)) throw new ExportFileError(`${where} (${text})`, brief(value), 'an object as Value');
  try {
    checkIpamValue(key, value);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    throw new ExportFileError(`${where} (${text})`, `a value of which ${error.reason}`, `the value of a ${type}`);
  }
  return { key: printKey(key, filePrefix), value };
}

/** As Go decodes: the exact name first, then any other letter case. */
function member(object: JsonObject, name: string): Json | undefined {
  if (name in object) return object[name];
  const found = Object.keys(object).find((key) => key.toLowerCase() === name.toLowerCase());
  return found === undefined ? undefined : object[found];
}

function json(text: string, where: string, expected: string): Json {
  try {
    return parseJson(text);
  } catch (error) {
    const detail =
      text.trim() === '' ? 'nothing' : `text that is no JSON (${error instanceof Error ? error.message : ''})`;
    throw new ExportFileError(where, detail, expected);
  }
}

function brief(value: Json | undefined): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (isObject(value)) return typeof value.kind === 'string' ? `an object of kind ${value.kind}` : 'an object';
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 200)) : String(value);
}
