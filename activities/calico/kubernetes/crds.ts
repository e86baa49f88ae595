// The definitions of Calico's kinds: those of the manifest that the cluster lacks are made and waited for; what is there stays as it is.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ArtifactReference } from '../../artifacts/store';
import { failure } from '../../errors';
import { withHeartbeat, type Beat } from '../../heartbeat';
import { equalJson, type JsonObject } from '../json';
import { crdKinds } from '../model/kinds';
import type { CalicoScope } from '../scope';
import { isCrd } from '../switch/apply';
import { parseManifest } from '../switch/manifest';
import type { KubernetesApi } from './api';
import { readDefinition, servedPaths } from './crd';
import { createCrdRemovalActivities } from './crd-removal';
import type { KubernetesDependencies } from './dependencies';
import { crdName, crdPath, crdsPath } from './paths';

export interface EnsureCrdsRequest {
  scope: CalicoScope;
  /** YAML of the manifest, its CustomResourceDefinitions among other things. */
  manifest?: ArtifactReference;
}

export interface EnsuredCrds {
  created: string[];
  present: number;
  /** What deserves a look: a CRD that is there with another schema than the manifest's, a kind that older versions of Calico do not have. */
  notes: string[];
}

const waitMs = 60_000;
/** Brought by Calico 3.29 and 3.30: what an older one has none of is no gap. */
export const newerKinds: ReadonlySet<string> = new Set([
  'Tier',
  'StagedGlobalNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedKubernetesNetworkPolicy',
]);

export function createCrdActivities(dependencies: KubernetesDependencies) {
  const { kubernetes, artifacts } = dependencies;
  const definitionsIn = async (manifest: ArtifactReference | undefined): Promise<Map<string, JsonObject>> => {
    if (!manifest) return new Map();
    const objects = parseManifest(await artifacts.read(manifest), manifest.name);
    return new Map(objects.filter(isCrd).map(({ name, body }) => [name, body]));
  };

  return {
    ...createCrdRemovalActivities(dependencies),

    /**
     * `created` holds what this run made; a run before it that was cut off is told apart by the inventory only.
     * @throws PreconditionFailed naming what is missing and in no manifest, or is not served within a minute; TargetUnavailable, AuthDenied
     */
    ensureCrds: ({ scope, manifest }: EnsureCrdsRequest): Promise<EnsuredCrds> =>
      withHeartbeat<string, EnsuredCrds>('', async (beat) => {
        const wanted = await definitionsIn(manifest);
        const api = await kubernetes.connect(scope.target);
        const names = new Set([...crdKinds.map(({ plural }) => crdName(plural)), ...wanted.keys()]);
        const present = await presentAmong(api, names, beat);
        const notes = requireAll(wanted, present, manifest?.name);
        for (const [name, live] of present) notes.push(...noteOn(name, wanted.get(name), live));
        const missing = [...wanted].filter(([name]) => !present.has(name));
        const created: string[] = [];
        for (const [name, definition] of missing) {
          beat.report(name);
          beat.signal.throwIfAborted();
          if ((await api.create(crdsPath, definition)) === 'created') created.push(name);
        }
        for (const name of [...present.keys(), ...missing.map(([one]) => one)]) await untilServed(api, name, beat);
        return { created, present: present.size, notes };
      }),
  };
}

/** Those that are there to stay: what is being removed is waited for, so that it can be made anew. */
async function presentAmong(
  api: KubernetesApi,
  names: Set<string>,
  { signal, report }: Beat<string>,
): Promise<Map<string, JsonObject>> {
  const present = new Map<string, JsonObject>();
  const until = Date.now() + waitMs;
  for (const name of names) {
    report(name);
    for (let live = await api.get(crdPath(name)); live; live = await api.get(crdPath(name))) {
      if (!readDefinition(live).leaving) {
        present.set(name, live);
        break;
      }
      if (Date.now() >= until) {
        throw failure(
          'PreconditionFailed',
          `The CRD ${name} is being removed and was not gone within ${waitMs / 1_000} s. Look with "kubectl get crd ${name} -o yaml" which finalizer or object holds it, and retry when it is gone.`,
        );
      }
      await sleep(200, undefined, { signal });
    }
  }
  return present;
}

function requireAll(wanted: Map<string, JsonObject>, present: Map<string, JsonObject>, manifest?: string): string[] {
  const missing = crdKinds
    .map(({ kind, plural }) => ({ kind, name: crdName(plural) }))
    .filter(({ name }) => !wanted.has(name) && !present.has(name));
  const needed = missing.filter(({ kind }) => !newerKinds.has(kind)).map(({ name }) => name);
  if (needed.length === 0) {
    return missing.map(
      ({ name }) => `The CRD ${name} is not there: this Calico is older than 3.30 and has no such kind.`,
    );
  }
  const where =
    manifest === undefined ? 'the plan names no manifest to take them from' : `${manifest} does not have them`;
  throw failure(
    'PreconditionFailed',
    `The cluster lacks ${needed.length} of Calico's CRDs, and ${where}: ${needed.join(', ')}. Apply the CRDs of the Calico version that is to run on the Kubernetes datastore, or name its manifest in the plan.`,
  );
}

/** Versions and schemas of two definitions, the same kind's. */
export function hasSameSchema(wanted: JsonObject, live: JsonObject): boolean {
  return equalJson(readDefinition(wanted).versions, readDefinition(live).versions);
}

function noteOn(name: string, wanted: JsonObject | undefined, live: JsonObject): string[] {
  if (!wanted || hasSameSchema(wanted, live)) return [];
  return [
    `The CRD ${name} is there with another schema than the manifest's, and stays so until the manifest is applied.`,
  ];
}

/** Established, its names accepted, and answering. */
async function untilServed(api: KubernetesApi, name: string, { signal, report }: Beat<string>): Promise<void> {
  report(name);
  for (const until = Date.now() + waitMs; ;) {
    const crd = await api.get(crdPath(name));
    const wrong = await whyNotServed(api, crd);
    if (wrong === undefined) return;
    if (Date.now() >= until) {
      throw failure(
        'PreconditionFailed',
        `The CRD ${name} was not served within ${waitMs / 1_000} s: ${wrong}. Look at it with "kubectl describe crd ${name}" and retry.`,
      );
    }
    await sleep(100, undefined, { signal });
  }
}

async function whyNotServed(api: KubernetesApi, crd: JsonObject | undefined): Promise<string | undefined> {
  if (!crd) return 'it is gone';
  const definition = readDefinition(crd);
  for (const type of ['NamesAccepted', 'Established']) {
    const state = definition.conditions.get(type);
    if (!state?.holds) return state?.message ?? `it has no condition ${type} yet`;
  }
  const [path] = servedPaths(definition);
  if (path === undefined) return 'it serves no version';
  return (await api.get(`${path}?limit=1`)) ? undefined : 'the apiserver does not answer for it yet';
}
