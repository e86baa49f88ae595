// The worker as a function: connects, serves workflows and activities until told to stop, closes what it opened.
import { NativeConnection, Worker } from '@temporalio/worker';
import { createActivities } from '../activities';
import { taskQueue } from '../workflows/messages';
import { workflowBundle } from './bundle';
import { readConfig } from './config';
import { makeDependencies } from './dependencies';
import { registerSearchAttributes } from './search-attributes';
import { installRuntime } from './telemetry';

export interface WorkerRun {
  /** Connections, secrets by reference and settings are read from here. */
  environment: NodeJS.ProcessEnv;
  /** Overrides TEMPORAL_ADDRESS. */
  address?: string;
  /** Aborting it ends the worker in order: activities get a moment to reach a checkpoint, then they are cancelled and resume elsewhere. */
  signal: AbortSignal;
  say?: (line: string) => void;
}

/** Long enough to finish a small chunk, shorter than the stop timeout of a container. */
const shutdownGraceTime = '10s';

/** Serves until `signal` is aborted. @throws when the server cannot be reached or the configuration is wrong */
export async function runWorker({ environment, address, signal, say = () => undefined }: WorkerRun): Promise<void> {
  const config = readConfig(environment);
  const logger = installRuntime(config);
  const connection = await NativeConnection.connect({ ...config.connection, ...(address ? { address } : {}) });
  try {
    const problem = await registerSearchAttributes(connection, config.namespace);
    if (problem) logger.warn(problem);
    const dependencies = await makeDependencies(environment, config.artifacts);
    const worker = await Worker.create({
      connection,
      namespace: config.namespace,
      taskQueue,
      workflowBundle: await workflowBundle(),
      activities: createActivities(dependencies),
      maxConcurrentActivityTaskExecutions: config.maxActivities,
      maxHeartbeatThrottleInterval: '5s',
      shutdownGraceTime,
    });
    const stop = (): void => {
      if (worker.getState() === 'RUNNING') worker.shutdown();
    };
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) return;
    say(`worker serves task queue "${taskQueue}" in namespace "${config.namespace}"; artifacts in ${config.artifacts}`);
    await worker.run();
  } finally {
    await connection.close();
  }
}
