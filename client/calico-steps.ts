// Runs activities of a Calico migration in this process, for commands that do one step: no Temporal, the same code, progress on standard error.
import { createReadStream } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ApplicationFailure } from '@temporalio/common';
import { artifactStoreFor } from '../activities/artifacts';
import type { ArtifactReference, ArtifactStore } from '../activities/artifacts/store';
import { createCalicoActivities } from '../activities/calico';
import { EtcdConnections } from '../activities/calico/etcd';
import { KubernetesConnections } from '../activities/calico/kubernetes';
import type { CalicoScope } from '../activities/calico/scope';
import { withOnlooker } from '../activities/heartbeat';
import type { CalicoPlan } from '../plan/calico';
import { CommandFailed, wrongCall, type ExitCode, type Terminal } from './context';
import { firstLine } from './connection';
import { readPlan } from './plan-file';
import { progressText } from './progress-text';

export interface CalicoSteps {
  plan: CalicoPlan;
  scope: CalicoScope;
  activities: ReturnType<typeof createCalicoActivities>;
  artifacts: ArtifactStore;
  /** Puts a file of the operator's among the artifacts, where activities read it. @throws CommandFailed when it cannot be read */
  keepFile: (file: string) => Promise<ArtifactReference>;
}

const progressEveryMs = 1_000;

/** @throws CommandFailed: exit code 2 for a wrong call, 1 for what could not be done */
export async function withCalico(
  terminal: Terminal,
  planFile: string,
  use: (steps: CalicoSteps) => Promise<ExitCode>,
): Promise<ExitCode> {
  const read = readPlan(planFile);
  if (read.kind !== 'calico')
    throw wrongCall(
      `${planFile} is a PostgreSQL plan; "cutover calico" needs a Calico plan, whose source has etcd endpoints.`,
    );
  const { plan } = read;
  const { environment } = terminal;
  const artifacts = openArtifacts(environment);
  const scope: CalicoScope = { migration: `${plan.name}-by-hand`, source: plan.source, target: plan.target };
  const activities = createCalicoActivities({
    environment,
    artifacts,
    etcd: new EtcdConnections(environment),
    kubernetes: new KubernetesConnections(environment),
  });
  const keepFile = async (file: string): Promise<ArtifactReference> => {
    await access(file, constants.R_OK).catch((error: unknown) => {
      throw wrongCall(`${file} cannot be read: ${firstLine(error)}. Give the path of an export file.`);
    });
    return artifacts.put(scope.migration, basename(file), createReadStream(file));
  };
  try {
    return await withOnlooker({ signal: terminal.interrupted, report: showProgress(terminal) }, () =>
      use({ plan, scope, activities, artifacts, keepFile }),
    );
  } catch (error) {
    if (error instanceof ApplicationFailure) throw new CommandFailed(`${error.type}: ${error.message}`, 1);
    if (terminal.interrupted.aborted) throw new CommandFailed('Interrupted. Every step can be run again.', 1);
    throw error;
  }
}

function openArtifacts(environment: NodeJS.ProcessEnv): ArtifactStore {
  const url = environment.CUTOVER_ARTIFACTS ?? pathToFileURL(resolve('.cutover', 'artifacts')).href;
  try {
    return artifactStoreFor(url, environment);
  } catch (error) {
    throw wrongCall(firstLine(error));
  }
}

function showProgress(terminal: Terminal): (progress: unknown) => void {
  let last = 0;
  return (progress) => {
    const text = progressText(progress);
    if (!text || Date.now() - last < progressEveryMs) return;
    last = Date.now();
    terminal.error(`  ${text}\n`);
  };
}
