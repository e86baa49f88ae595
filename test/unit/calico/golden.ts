// What the real calicoctl made of one rich datastore, as the tests look at it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isObject, parseJson, type Json, type JsonObject } from '../../../activities/calico/json';
import type { EtcdEntry } from '../../../activities/calico/model/entry';
import type { Encoding } from '../../../activities/calico/scope';

const folder = join(__dirname, '../../fixtures/calico/golden');
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');

export const encoding330: Encoding = { policyNaming: 'prefixed', affinityLabels: false };

/** Every key of etcd, in key order. */
export function goldenEntries(): EtcdEntry[] {
  return read('etcd.jsonl')
    .trim()
    .split('\n')
    .map((line) => {
      const { key, value, createRevision, modRevision } = JSON.parse(line) as Record<string, string | number>;
      return {
        key: String(key),
        value: String(value),
        createRevision: String(createRevision),
        modRevision: String(modRevision),
      };
    });
}

export const goldenExport = read('export.calicoctl');

/** The custom resources after calicoctl's import. */
export function goldenObjects(): JsonObject[] {
  return list(parseJson(read('kdd.json')));
}

/** Node -> annotations. */
export function goldenNodes(): Record<string, JsonObject> {
  return Object.fromEntries(
    list(parseJson(read('nodes.json'))).map(({ metadata }) => {
      const { name, annotations } = isObject(metadata) ? metadata : {};
      return [text(name), isObject(annotations) ? annotations : {}];
    }),
  );
}

/** @throws Error when the value is no text */
export function text(value: Json | undefined): string {
  if (typeof value !== 'string') throw new Error('expected a text');
  return value;
}

/** The object without these members. */
export function without(object: JsonObject, ...names: string[]): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}

function list(value: Json): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** An etcd entry of a test's own making. */
export function entry(key: string, value: unknown): EtcdEntry {
  const printed = typeof value === 'string' ? value : JSON.stringify(value);
  return { key: `/calico/${key}`, value: printed, createRevision: '1', modRevision: '1' };
}

/** A v3 resource as etcd has it. */
export function resource(plural: string, path: string, body: Record<string, unknown> = {}): EtcdEntry {
  const name = path.slice(path.indexOf('/') + 1);
  return entry(`resources/v3/projectcalico.org/${plural}/${path}`, { metadata: { name }, spec: {}, ...body });
}

/** A node that Kubernetes knows by another name. */
export function node(name: string, kubernetesName: string): EtcdEntry {
  return resource('nodes', name, { spec: { orchRefs: [{ nodeName: kubernetesName, orchestrator: 'k8s' }] } });
}

/** A free /30 of `affinity`, with whatever the test changes. */
export function block(cidr: string, changes: Record<string, unknown> = {}): EtcdEntry {
  const version = cidr.includes(':') ? 'ipv6' : 'ipv4';
  return entry(`ipam/v2/assignment/${version}/block/${cidr.replace('/', '-')}`, {
    cidr,
    affinity: null,
    allocations: [null, null, null, null],
    unallocated: [0, 1, 2, 3],
    attributes: [],
    sequenceNumber: 1,
    deleted: false,
    ...changes,
  });
}
