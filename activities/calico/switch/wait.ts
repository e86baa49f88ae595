// Waits for a rollout, with its progress in the heartbeats; the time that it may take counts on over restarts of the worker.
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { failure } from '../../errors';
import { lastReported, withHeartbeat } from '../../heartbeat';
import type { CalicoDependencies } from '../dependencies';
import type { CalicoScope } from '../scope';
import type { ArtifactReference } from '../../artifacts/store';
import { parseManifest } from './manifest';
import { lookAtWorkloads, type WorkloadLook } from './rollout';
import type { WorkloadState } from './types';

export interface RolloutRequest {
  scope: CalicoScope;
  manifest: ArtifactReference;
  timeoutMs: number;
  /** What the pod templates must say; something else is never waited for. */
  expect: 'kubernetes' | 'etcd';
}

const lookEveryMs = 2_000;
const progressSchema = z.object({ startedAt: z.number() });

export function createRolloutActivities({
  kubernetes,
  artifacts,
}: Pick<CalicoDependencies, 'kubernetes' | 'artifacts'>) {
  return {
    /**
     * Resolves when every DaemonSet and Deployment of the manifest runs it completely.
     * @throws PreconditionFailed (not retryable) when the time is over, naming who lags and why; at once when a pod template says another datastore
     */
    async waitForRollout({
      scope,
      manifest,
      timeoutMs,
      expect,
    }: RolloutRequest): Promise<{ workloads: WorkloadState[] }> {
      const startedAt = startOf();
      return withHeartbeat<object, { workloads: WorkloadState[] }>({ startedAt }, async ({ signal, report }) => {
        const objects = parseManifest(await artifacts.read(manifest), manifest.name);
        const api = await kubernetes.connect(scope.target);
        for (;;) {
          const looks = await lookAtWorkloads(api, objects, expect);
          refuseWrong(looks);
          const lagging = looks.filter((look) => look.lagging !== undefined);
          report({
            startedAt,
            ready: looks.length - lagging.length,
            of: looks.length,
            waitingFor: lagging.slice(0, 5).map(sayLagging),
          });
          if (lagging.length === 0) return { workloads: looks.map(stateOf) };
          if (Date.now() - startedAt >= timeoutMs) throw tooLate(lagging, timeoutMs);
          await sleep(lookEveryMs, undefined, { signal });
        }
      });
    },
  };
}

/** When the first attempt began. */
function startOf(): number {
  return progressSchema.safeParse(lastReported()).data?.startedAt ?? Date.now();
}

function refuseWrong(looks: WorkloadLook[]): void {
  const wrong = looks.filter((look) => look.wrong !== undefined);
  if (wrong.length === 0) return;
  throw failure(
    'PreconditionFailed',
    `The rollout cannot be waited for: ${wrong.map(({ name, wrong: why }) => `${name} ${why ?? ''}`).join('; ')}. Stop whoever puts back the former setting (a GitOps tool, an operator), apply the manifest and retry.`,
  );
}

function tooLate(lagging: WorkloadLook[], timeoutMs: number): Error {
  return failure(
    'PreconditionFailed',
    `The rollout was not complete after ${Math.round(timeoutMs / 1000)} s: ${lagging.map(sayLagging).join('; ')}. Look at these pods ("kubectl describe"), mend what keeps them and retry, or go back.`,
  );
}

function sayLagging({ name, lagging }: WorkloadLook): string {
  return `${name}: ${lagging ?? ''}`;
}

function stateOf({ name, desired, updated, ready }: WorkloadLook): WorkloadState {
  return { name, desired, updated, ready };
}
