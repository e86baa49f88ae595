// The activities of the switch: manifests read and fixed, applied, waited for, undone, and the cluster watched afterwards.
import type { ArtifactReference } from '../../artifacts/store';
import { withHeartbeat } from '../../heartbeat';
import type { CalicoDependencies } from '../dependencies';
import type { CalicoScope } from '../scope';
import { applyObjects } from './apply';
import { loadFormerState, readFormerState, storeFormerState } from './former';
import { identityOf, titleOf, type ManifestObject } from './manifest';
import { createManifestFactsActivities } from './manifest-facts';
import type { ApplyResult, UndoResult } from './types';
import { undoSwitch } from './undo';
import { createRolloutActivities } from './wait';
import { createWatchActivities } from './watch';
import { appliedObjects } from './without-secrets';

export type * from './types';

const shown = 20;

export function createSwitchActivities(dependencies: CalicoDependencies) {
  const { kubernetes, artifacts } = dependencies;
  const objectsOf = async (manifest: ArtifactReference): Promise<ManifestObject[]> =>
    appliedObjects(await artifacts.read(manifest), manifest.name);

  return {
    ...createManifestFactsActivities(dependencies),
    ...createRolloutActivities(dependencies),
    ...createWatchActivities(dependencies),

    /** Keeps every object of the manifests but Secrets as it is on the cluster now; nothing is changed. */
    recordManifestState: (request: {
      scope: CalicoScope;
      manifests: ArtifactReference[];
    }): Promise<{ former: ArtifactReference; existing: number; absent: number }> =>
      withHeartbeat(undefined, async ({ signal }) => {
        const { scope, manifests } = request;
        const objects = (await Promise.all(manifests.map(objectsOf))).flat();
        const former = await readFormerState(await kubernetes.connect(scope.target), objects, signal);
        const existing = [...former.values()].filter((object) => object !== null).length;
        return {
          former: await storeFormerState(artifacts, scope.migration, former),
          existing,
          absent: former.size - existing,
        };
      }),

    /**
     * Server-side apply of the whole manifest but its Secrets; can be done again at any point. Counts are against what was recorded.
     * @throws PreconditionFailed (not retryable) naming the object that the server refuses, and why; TargetUnavailable, AuthDenied
     */
    applyManifest: (request: {
      scope: CalicoScope;
      manifest: ArtifactReference;
      former: ArtifactReference;
    }): Promise<ApplyResult> =>
      withHeartbeat<object, ApplyResult>({}, async ({ signal, report }) => {
        const { scope, manifest } = request;
        const objects = await objectsOf(manifest);
        const former = await loadFormerState(artifacts, request.former);
        const api = await kubernetes.connect(scope.target);
        const applied = await applyObjects(api, objects, signal, (done, object) =>
          report({ done, of: objects.length, object }),
        );
        // A repeated try finds equal what the one before it has made.
        const created = objects.filter((object) => former.get(identityOf(object)) === null);
        const changed = applied.filter(({ outcome }) => outcome === 'changed').length;
        return { applied: applied.length, created: created.map(titleOf).slice(0, shown), changed };
      }),

    /** @throws as applyManifest. What is not as it was recorded afterwards is told, not thrown. */
    undoManifest: (request: {
      scope: CalicoScope;
      manifest: ArtifactReference;
      etcd: ArtifactReference;
      former: ArtifactReference;
    }): Promise<UndoResult> =>
      withHeartbeat<object, UndoResult>({}, async ({ signal, report }) => {
        const switched = await objectsOf(request.manifest);
        const etcd = await objectsOf(request.etcd);
        const former = await loadFormerState(artifacts, request.former);
        const api = await kubernetes.connect(request.scope.target);
        const of = etcd.length + switched.length;
        return undoSwitch(api, { switched, etcd, former }, signal, (done, object) => report({ done, of, object }));
      }),
  };
}
