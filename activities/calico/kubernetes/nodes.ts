// What Calico knows of a node is kept in annotations of the Kubernetes node. They are written through `nodes/status`, as Calico itself does, and
// put back exactly; annotations of others are never touched.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ArtifactReference } from '../../artifacts/store';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import { isObject } from '../json';
import { nodeDifferences } from '../model/compare';
import type { DesiredNode } from '../model/desired';
import { nodeAnnotations } from '../model/desired-node';
import type { CalicoScope, Encoding } from '../scope';
import { isAbsent, isConflict } from './answers';
import type { KubernetesApi } from './api';
import type { KubernetesDependencies } from './dependencies';
import { readInventory } from './inventory';
import { inLanes } from './lanes';
import { nodePath } from './paths';
import { metadataOf, ofCalicoOnly, presentNodes } from './present';
import { readWanted } from './wanted';

export interface AnnotateNodesRequest {
  scope: CalicoScope;
  /** The export file. */
  file: ArtifactReference;
  encoding: Encoding;
}

export interface AnnotatedNodes {
  /** In the file. */
  nodes: number;
  changed: number;
  /** Kubernetes does not know them: the first fifty by name. */
  missing: string[];
  missingTotal: number;
}

export interface RestoreNodesRequest {
  scope: CalicoScope;
  /** What was there before us. */
  inventory: ArtifactReference;
}

export interface NodeProgress {
  done: number;
  total?: number;
}

const lanes = 8;
const missingListed = 50;
/** A kubelet writes its node every ten seconds, controllers now and then. */
const tries = 20;

export function createNodeActivities({ kubernetes, artifacts }: KubernetesDependencies) {
  return {
    /** @throws TargetUnavailable (retryable), AuthDenied, PreconditionFailed */
    annotateNodes: ({ scope, file, encoding }: AnnotateNodesRequest): Promise<AnnotatedNodes> =>
      withHeartbeat<NodeProgress, AnnotatedNodes>({ done: 0 }, async ({ report, signal }) => {
        const { nodes } = await readWanted(artifacts, file, encoding);
        const api = await kubernetes.connect(scope.target);
        const missing: string[] = [];
        let changed = 0;
        let done = 0;
        await inLanes(nodes.values(), lanes, async (desired) => {
          signal.throwIfAborted();
          const outcome = await settle(api, desired, signal);
          if (outcome === 'absent') missing.push(desired.name);
          if (outcome === 'changed') changed += 1;
          report({ done: (done += 1), total: nodes.size });
        });
        return {
          nodes: nodes.size,
          changed,
          missing: missing.sort().slice(0, missingListed),
          missingTotal: missing.length,
        };
      }),

    /**
     * Every annotation that Calico has on nodes becomes what the inventory says, or goes where it says nothing; of a node that came since, all of them go.
     * @throws TargetUnavailable (retryable), AuthDenied
     */
    restoreNodeAnnotations: ({ scope, inventory }: RestoreNodesRequest): Promise<{ restored: number }> =>
      withHeartbeat<NodeProgress, { restored: number }>({ done: 0 }, async ({ report, signal }) => {
        const former = (await readInventory(artifacts, inventory)).nodes;
        const api = await kubernetes.connect(scope.target);
        let restored = 0;
        let done = 0;
        await inLanes(presentNodes(api, signal), lanes, async ({ name, annotations }) => {
          const before = former.get(name) ?? {};
          const wanted = nodeAnnotations.map((annotation) => [annotation, before[annotation] ?? null] as const);
          if (wanted.some(([annotation, value]) => (annotations[annotation] ?? null) !== value)) {
            const outcome = await write(api, name, () => Object.fromEntries(wanted), signal);
            if (outcome === 'changed') restored += 1;
          }
          report({ done: (done += 1) });
        });
        return { restored };
      }),
  };
}

type Outcome = 'changed' | 'equal' | 'absent';

/** Equal JSON in another spelling is equal: Calico's components may have written it. */
function settle(api: KubernetesApi, desired: DesiredNode, signal: AbortSignal): Promise<Outcome> {
  return write(
    api,
    desired.name,
    (live) => (nodeDifferences(desired, live).length === 0 ? {} : desired.annotations),
    signal,
  );
}

/**
 * Writes only the annotations that are to change, so that others may write the same node at the same time: a precondition on its version
 * would lose against a busy kubelet again and again. `wanted` gives nothing where all is well.
 */
async function write(
  api: KubernetesApi,
  name: string,
  wanted: (live: Record<string, string>) => Record<string, string | null>,
  signal: AbortSignal,
): Promise<Outcome> {
  for (let attempt = 1; attempt <= tries; attempt += 1) {
    const node = await api.get(nodePath(name));
    if (!node) return 'absent';
    const { annotations } = metadataOf(node);
    const live = ofCalicoOnly(isObject(annotations) ? annotations : {});
    const changes = Object.entries(wanted(live)).filter(([annotation, value]) => (live[annotation] ?? null) !== value);
    if (changes.length === 0) return 'equal';
    try {
      await api.patch(`${nodePath(name)}/status`, 'merge', {
        metadata: { annotations: Object.fromEntries(changes) },
      });
      return 'changed';
    } catch (error) {
      if (!isConflict(error) && !isAbsent(error)) throw error;
    }
    await sleep(Math.random() * 20 * attempt, undefined, { signal });
  }
  throw failure(
    'TargetUnavailable',
    `The annotations of node ${name} could not be written: in ${tries} tries somebody else wrote the node each time. It is tried again by itself; find out who writes that node all the time.`,
  );
}
