// The check that Calico's own guide asks for, "get each kind": what Calico will see, kind by kind, through its own decoding and naming.
// A custom resource can hold the right content under a name that Calico never asks for; a comparison with what was written does not notice.
import type { ValidationRecord } from '../../../journal/types';
import { withHeartbeat, type Beat } from '../../heartbeat';
import { isObject, type JsonObject } from '../json';
import { differences } from '../model/compare';
import { describeObject } from '../model/desired';
import { crdKinds, fileKinds, type CalicoKind } from '../model/kinds';
import { storedPolicyName } from '../model/policy-names';
import type { Encoding } from '../scope';
import type { KubernetesDependencies } from './dependencies';
import type { CompareRequest } from './compare';
import type { KubernetesApi } from './api';
import { v3NameOf } from './decode';
import { Findings } from './findings';
import { resourcePath } from './paths';
import { keyOf, metadataOf, presentNodes, presentObjects, type CustomKind } from './present';
import { readWanted, type Wanted } from './wanted';

export function createEachKindActivities({ kubernetes, artifacts }: KubernetesDependencies) {
  return {
    /**
     * A record for each kind of the v3 API that the file has: counts on both sides, and what `get` would not find. Changes nothing.
     * @throws TargetUnavailable (retryable), AuthDenied, PreconditionFailed
     */
    listEachKind: ({ scope, file, encoding }: CompareRequest): Promise<ValidationRecord[]> =>
      withHeartbeat<{ kind: string }, ValidationRecord[]>({ kind: 'export file' }, async (beat) => {
        const wanted = await readWanted(artifacts, file, encoding);
        const api = await kubernetes.connect(scope.target);
        const records: ValidationRecord[] = [];
        for (const kind of fileKinds) {
          const source = wanted.data.resources.filter((resource) => resource.kind === kind.kind);
          if (source.length === 0) continue;
          beat.report({ kind: kind.kind });
          const look = kind.fate === 'node' ? getNodes : getObjects;
          records.push(await look({ api, kind, source, wanted, encoding, beat }));
        }
        return records;
      }),
  };
}

interface Lookup {
  api: KubernetesApi;
  kind: CalicoKind;
  /** Of this kind, as the file has them. */
  source: JsonObject[];
  wanted: Wanted;
  encoding: Encoding;
  beat: Beat<{ kind: string }>;
}

async function getObjects({ api, kind, source, wanted, encoding, beat }: Lookup): Promise<ValidationRecord> {
  const started = Date.now();
  const wrong = new Findings();
  const custom = customKind(kind);
  const expected = new Map(source.map((resource) => [v3Key(resource), resource]));
  const listed = new Map<string, string>();
  let found = 0;
  for await (const live of presentObjects(api, custom, beat.signal)) {
    const decoded = v3NameOf(live, kind.tiered ?? false);
    if (decoded === undefined) {
      wrong.add(
        `${describeObject(live)}: Calico cannot read what its annotation remembers, and leaves it out of lists`,
      );
      continue;
    }
    const key = inNamespace(live.namespace, decoded);
    const resource = expected.get(key);
    if (!resource) continue;
    const twin = listed.get(key);
    if (twin !== undefined) {
      wrong.add(`${kind.kind} ${key}: is listed twice, as the custom resources ${twin} and ${live.name}`);
      continue;
    }
    listed.set(key, live.name);
    const asked = customName(kind, decoded, encoding);
    if (live.name !== asked) {
      wrong.add(`${kind.kind} ${key}: is listed, but get asks for the custom resource ${asked}; it is ${live.name}`);
      continue;
    }
    const desired = wanted.objects.get(keyOf(live));
    const differing = desired ? differences(onlySpec(desired.body), onlySpec(live.body)) : [];
    for (const line of differing) wrong.add(`${kind.kind} ${key}: ${line}`);
    if (differing.length === 0) found += 1;
  }
  const inexpressible = new Set(wanted.problems.map(({ object }) => object));
  for (const [key, resource] of expected) {
    const asked = inNamespace(nameOf(resource).namespace, customName(kind, nameOf(resource).name, encoding));
    if ([key, asked].some((name) => inexpressible.has(`${kind.kind} ${name}`))) continue;
    if (!listed.has(key)) wrong.add(`${kind.kind} ${key}: is not listed`);
  }
  const sample = source.find((resource) => listed.has(v3Key(resource)));
  if (sample && wrong.total === 0) await getOne({ api, kind, encoding }, sample, custom, wrong);
  return recordOf(kind, started, source.length, found, wrong);
}

/** Once by name, as calicoctl does: a list and a get are different questions to the server. */
async function getOne(
  { api, kind, encoding }: Pick<Lookup, 'api' | 'kind' | 'encoding'>,
  resource: JsonObject,
  custom: CustomKind,
  wrong: Findings,
): Promise<void> {
  const { name, namespace } = nameOf(resource);
  const asked = customName(kind, name, encoding);
  const path = resourcePath({ plural: custom.plural, name: asked, ...(namespace !== undefined && { namespace }) });
  if (!(await api.get(path))) wrong.add(`${kind.kind} ${v3Key(resource)}: get finds no custom resource ${asked}`);
}

/** Calico's nodes are those of Kubernetes: all of them are listed, whatever their annotations say. */
async function getNodes({ api, kind, source, beat }: Lookup): Promise<ValidationRecord> {
  const started = Date.now();
  const missing = new Set(source.map((resource) => nameOf(resource).name));
  const expected = missing.size;
  for await (const { name } of presentNodes(api, beat.signal)) missing.delete(name);
  const remarks = new Findings();
  for (const name of missing) remarks.add(`Node ${name}: Kubernetes has no such node`);
  return {
    ...recordOf(kind, started, source.length, expected - missing.size, new Findings()),
    ...(remarks.total > 0 && { differences: remarks.linesAndRest }),
  };
}

function recordOf(
  { plural }: CalicoKind,
  started: number,
  source: number,
  found: number,
  wrong: Findings,
): ValidationRecord {
  return {
    name: `get ${plural}`,
    source: String(source),
    target: String(found),
    outcome: wrong.total > 0 ? 'fail' : 'pass',
    durationMs: Date.now() - started,
    ...(wrong.total > 0 && { differences: wrong.linesAndRest }),
  };
}

/** The kind goes with it: what its CRD adds by itself is no difference. */
function onlySpec({ kind, spec }: JsonObject): JsonObject {
  return { kind, spec };
}

function customKind({ plural }: CalicoKind): CustomKind {
  const found = crdKinds.find((kind) => kind.plural === plural);
  if (!found) throw new Error(`There is no custom resource of the kind ${plural}.`);
  return found;
}

/** The name of the custom resource that a Calico of this naming asks for when it is asked for a v3 name. */
function customName({ tiered }: CalicoKind, name: string, { policyNaming }: Encoding): string {
  return tiered ? storedPolicyName(name, policyNaming) : name;
}

function nameOf(resource: JsonObject): { name: string; namespace?: string } {
  const { name, namespace } = metadataOf(resource);
  return {
    name: typeof name === 'string' ? name : '',
    ...(isObject(resource.metadata) && typeof namespace === 'string' && { namespace }),
  };
}

function v3Key(resource: JsonObject): string {
  const { name, namespace } = nameOf(resource);
  return inNamespace(namespace, name);
}

function inNamespace(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}
