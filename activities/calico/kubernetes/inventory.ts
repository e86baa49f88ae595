// What the cluster has of Calico before we touch it, kept whole as an artifact: what the way back puts back, and what it leaves alone.
// Nothing is written, so it may be taken again; the one that counts is the first.
import { Readable } from 'node:stream';
import { z } from 'zod';
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';
import { withHeartbeat, type Beat } from '../../heartbeat';
import { isObject, parseJson, printJson, type JsonObject } from '../json';
import type { CalicoScope } from '../scope';
import type { KubernetesApi } from './api';
import { readDefinition, type Definition } from './crd';
import type { KubernetesDependencies } from './dependencies';
import { calicoGroup, crdsPath } from './paths';
import { ofCalicoOnly, presentNodes, presentObjects } from './present';

export interface Inventory {
  /** Names of all CRDs of the cluster: a manifest of Calico brings some of other groups, which may be somebody else's already. */
  crds: string[];
  /** Whole objects, by `inventoryKey`. */
  objects: Map<string, JsonObject>;
  /** Of every node: its annotations of Calico, none of others. */
  nodes: Map<string, Record<string, string>>;
}

export interface InventoryResult {
  inventory: ArtifactReference;
  objects: number;
  /** Names of the CRDs of crd.projectcalico.org. */
  crds: string[];
  nodes: number;
}

export interface InventoryProgress {
  objects: number;
  nodes: number;
}

/** CRDs are large. */
const crdsAPage = 20;

/** "ippools/default", "networkpolicies/shop/web" */
export function inventoryKey(plural: string, namespace: string | undefined, name: string): string {
  return namespace === undefined ? `${plural}/${name}` : `${plural}/${namespace}/${name}`;
}

/** @throws VerificationMismatch, ArtifactStoreUnavailable; Error for an artifact that holds something else */
export async function readInventory(artifacts: ArtifactStore, reference: ArtifactReference): Promise<Inventory> {
  const inventory: Inventory = { crds: [], objects: new Map(), nodes: new Map() };
  const text = await artifacts.read(reference);
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const record = parseJson(line);
    const { crd, node, key, object, annotations } = isObject(record) ? record : {};
    if (crd !== undefined) inventory.crds.push(z.string().parse(crd));
    else if (node !== undefined) {
      const kept = isObject(annotations) ? ofCalicoOnly(annotations) : {};
      inventory.nodes.set(z.string().parse(node), kept);
    } else if (isObject(object)) inventory.objects.set(z.string().parse(key), object);
    else throw new Error(`The artifact ${reference.name} is no inventory of a cluster.`);
  }
  return inventory;
}

export function createInventoryActivities({ kubernetes, artifacts }: KubernetesDependencies) {
  return {
    /** @throws TargetUnavailable (retryable), AuthDenied, ArtifactStoreUnavailable */
    inspectKubernetes: ({ scope }: { scope: CalicoScope }): Promise<InventoryResult> =>
      withHeartbeat<InventoryProgress, InventoryResult>({ objects: 0, nodes: 0 }, async (beat) => {
        const api = await kubernetes.connect(scope.target);
        const { all, kinds } = await definitions(api);
        const crds = kinds.map(({ name }) => name);
        const counts = { objects: 0, nodes: 0 };
        const lines = linesOf(api, { all, kinds }, counts, beat);
        const inventory = await artifacts.put(scope.migration, 'kubernetes-inventory.jsonl', Readable.from(lines));
        return { inventory, crds, ...counts };
      }),
  };
}

interface Definitions {
  /** Names. */
  all: string[];
  /** Of Calico's group. */
  kinds: Definition[];
}

async function definitions(api: KubernetesApi): Promise<Definitions> {
  const found: Definitions = { all: [], kinds: [] };
  for await (const crd of api.list(crdsPath, { limit: crdsAPage })) {
    const definition = readDefinition(crd);
    found.all.push(definition.name);
    if (definition.group === calicoGroup) found.kinds.push(definition);
  }
  return found;
}

async function* linesOf(
  api: KubernetesApi,
  { all, kinds }: Definitions,
  counts: InventoryProgress,
  { report, signal }: Beat<InventoryProgress>,
): AsyncGenerator<string> {
  for (const crd of all) yield `${printJson({ crd })}\n`;
  for (const kind of kinds) {
    for await (const { plural, namespace, name, body } of presentObjects(api, kind, signal)) {
      counts.objects += 1;
      report({ ...counts });
      yield `${printJson({ key: inventoryKey(plural, namespace, name), object: body })}\n`;
    }
  }
  for await (const { name, annotations } of presentNodes(api, signal)) {
    counts.nodes += 1;
    report({ ...counts });
    yield `${printJson({ node: name, annotations })}\n`;
  }
}
