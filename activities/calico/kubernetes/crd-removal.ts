// The way back of `ensureCrds`: definitions that we made go, as long as nothing is left in them. Removing a definition removes every object
// of its kind, so whatever somebody has put there meanwhile keeps it.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ArtifactReference } from '../../artifacts/store';
import { failure } from '../../errors';
import { withHeartbeat, type Beat } from '../../heartbeat';
import type { CalicoScope } from '../scope';
import type { KubernetesApi } from './api';
import { readDefinition, servedPaths, type Definition } from './crd';
import type { KubernetesDependencies } from './dependencies';
import { readInventory } from './inventory';
import { crdPath } from './paths';
import { metadataOf } from './present';

export interface RemoveCrdsRequest {
  scope: CalicoScope;
  /** Those that we created, by name. */
  crds: string[];
  /** What was there before us. */
  inventory: ArtifactReference;
}

export interface RemovedCrds {
  /** Gone now, whoever has removed them. */
  removed: string[];
  kept: { name: string; why: string }[];
}

const waitMs = 60_000;

export function createCrdRemovalActivities({ kubernetes, artifacts }: KubernetesDependencies) {
  return {
    /** @throws TargetUnavailable (retryable), also for a CRD that does not go within a minute; AuthDenied */
    removeCrds: ({ scope, crds, inventory }: RemoveCrdsRequest): Promise<RemovedCrds> =>
      withHeartbeat<string, RemovedCrds>('', async (beat) => {
        const before = new Set((await readInventory(artifacts, inventory)).crds);
        const api = await kubernetes.connect(scope.target);
        const kept: RemovedCrds['kept'] = [];
        const going: string[] = [];
        for (const name of crds) {
          beat.report(name);
          beat.signal.throwIfAborted();
          const why = before.has(name) ? 'it was there before the migration' : await removeEmpty(api, name);
          if (why === undefined) going.push(name);
          else kept.push({ name, why });
        }
        for (const name of going) await untilGone(api, name, beat);
        return { removed: going, kept };
      }),
  };
}

/** Why it is kept; undefined when it is on its way out. */
async function removeEmpty(api: KubernetesApi, name: string): Promise<string | undefined> {
  const crd = await api.get(crdPath(name));
  const definition = crd && readDefinition(crd);
  if (!definition || definition.leaving) return undefined;
  const left = await firstObjectOf(api, definition);
  if (left !== undefined) return `it still holds objects: ${left}`;
  await api.remove(crdPath(name), { uid: definition.uid });
  return undefined;
}

async function firstObjectOf(api: KubernetesApi, definition: Definition): Promise<string | undefined> {
  for (const path of servedPaths(definition)) {
    for await (const object of api.list(path, { limit: 1, notServed: 'empty', metadataOnly: true })) {
      const { namespace, name } = metadataOf(object);
      return [namespace, name].filter((part) => typeof part === 'string').join('/');
    }
  }
  return undefined;
}

async function untilGone(api: KubernetesApi, name: string, { signal, report }: Beat<string>): Promise<void> {
  report(name);
  for (const until = Date.now() + waitMs; await api.get(crdPath(name));) {
    if (Date.now() >= until) {
      throw failure(
        'TargetUnavailable',
        `The CRD ${name} is being removed and was not gone within ${waitMs / 1_000} s. It is looked at again by itself; "kubectl get crd ${name} -o yaml" shows which finalizer holds it.`,
      );
    }
    await sleep(100, undefined, { signal });
  }
}
