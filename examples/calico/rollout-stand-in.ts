// Stands in for what the embedded cluster lacks: kubelets and the controllers of Kubernetes. It runs no pod. Whenever a DaemonSet or a
// Deployment of kube-system has changed, it writes into the status, node by node, what they would have written in the end.
import { setTimeout as sleep } from 'node:timers/promises';
import { isObject, type JsonObject } from '../../activities/calico/json';
import type { Cluster } from './cluster';

export interface StandInOptions {
  /** Pods of a DaemonSet: one for each. */
  nodes: number;
  /** Between two looks, and between two pods that become ready. */
  stepMs?: number;
  say?: (line: string) => void;
}

export interface RolloutStandIn {
  /** What changes from now on does not roll out: as with an image that cannot be pulled. */
  stall(): void;
  resume(): void;
  stop(): Promise<void>;
}

const kinds = ['daemonsets', 'deployments'] as const;
type Kind = (typeof kinds)[number];

/** Runs until it is stopped; an apiserver that is away or says no is asked again. */
export function startRolloutStandIn(cluster: Cluster, options: StandInOptions): RolloutStandIn {
  const { stepMs = 200 } = options;
  const stopping = new AbortController();
  const now = { stalled: false };
  const running = (async () => {
    while (!stopping.signal.aborted) {
      if (!now.stalled) for (const kind of kinds) await roll(cluster, kind, options).catch(() => undefined);
      await sleep(stepMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    stall: () => void (now.stalled = true),
    resume: () => void (now.stalled = false),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** One pod further for every workload that is not yet where it should be. */
async function roll(cluster: Cluster, kind: Kind, { nodes, say }: StandInOptions): Promise<void> {
  for (const object of (await cluster.list(`/apis/apps/v1/namespaces/kube-system/${kind}`)) ?? []) {
    const { metadata, spec } = object;
    if (!isObject(metadata) || !isObject(spec) || typeof metadata.name !== 'string') continue;
    const generation = Number(metadata.generation);
    const wanted = kind === 'daemonsets' ? nodes : Number(spec.replicas ?? 1);
    const before = isObject(object.status) ? object.status : {};
    const updatedBefore = Number(before[kind === 'daemonsets' ? 'updatedNumberScheduled' : 'updatedReplicas'] ?? 0);
    const seen = Number(before.observedGeneration ?? 0) === generation;
    if (seen && updatedBefore >= wanted) continue;
    const updated = seen ? Math.min(wanted, updatedBefore + 1) : 0;
    const status =
      kind === 'daemonsets' ? daemonSet(generation, wanted, updated) : deployment(generation, wanted, updated);
    // Replaced with the version that was read: if it has changed since, it is looked at again.
    await cluster.change('PUT', `/apis/apps/v1/namespaces/kube-system/${kind}/${metadata.name}/status`, {
      ...object,
      status,
    });
    if (updated === wanted)
      say?.(`stand-in for kubelet and controllers: ${metadata.name} is rolled out, ${wanted} of ${wanted}`);
  }
}

/** The pods of before keep running while they are replaced, one after the other. */
function daemonSet(generation: number, wanted: number, updated: number): JsonObject {
  return {
    observedGeneration: generation,
    desiredNumberScheduled: wanted,
    currentNumberScheduled: wanted,
    updatedNumberScheduled: updated,
    numberMisscheduled: 0,
    numberReady: wanted,
    numberAvailable: wanted,
  };
}

function deployment(generation: number, wanted: number, updated: number): JsonObject {
  const conditions = [{ type: 'Available', status: 'True', reason: 'MinimumReplicasAvailable', message: '' }];
  return {
    observedGeneration: generation,
    replicas: wanted,
    updatedReplicas: updated,
    readyReplicas: updated,
    availableReplicas: updated,
    ...(updated === wanted ? { conditions } : { unavailableReplicas: wanted - updated }),
  };
}
