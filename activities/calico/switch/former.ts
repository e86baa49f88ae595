// The objects of both manifests as they are on the cluster before the switch: what the way back puts back, and what it is measured by.
import { z } from 'zod';
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';
import { isObject, parseJson, printJson, type JsonObject } from '../json';
import type { KubernetesApi } from '../kubernetes/connection';
import { Discovery } from './discovery';
import { identityOf, type ManifestObject } from './manifest';

/** Whole objects by identity, as they were; null: was not there. */
export type FormerState = Map<string, JsonObject | null>;

/** Reads each object once. A kind that the cluster does not serve has no objects. */
export async function readFormerState(
  api: KubernetesApi,
  objects: ManifestObject[],
  signal: AbortSignal,
): Promise<FormerState> {
  const discovery = new Discovery(api);
  const former: FormerState = new Map();
  for (const object of objects) {
    signal.throwIfAborted();
    const placed = await discovery.find(object);
    const live = placed && (await api.get(placed.path));
    former.set(identityOf(object), live ?? null);
  }
  return former;
}

export async function storeFormerState(
  artifacts: ArtifactStore,
  migration: string,
  former: FormerState,
): Promise<ArtifactReference> {
  const lines = [...former].map(([identity, object]) => printJson({ identity, object }));
  return artifacts.put(migration, 'manifest-state.jsonl', `${lines.join('\n')}\n`);
}

/** @throws VerificationMismatch, ArtifactStoreUnavailable; Error for an artifact that holds something else */
export async function loadFormerState(artifacts: ArtifactStore, reference: ArtifactReference): Promise<FormerState> {
  const text = await artifacts.read(reference);
  return new Map(
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const record = parseJson(line);
        const { identity, object } = isObject(record) ? record : {};
        return [z.string().parse(identity), isObject(object) ? object : null];
      }),
  );
}
