// The worker as a function: connects, serves workflows and activities until told to stop, closes what it opened.
// Beside the task queue that all workers share it serves one of its own, for activities that hold what no other process could take over.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
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
    const ownTaskQueue = `${taskQueue}-${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
    const shared = {
      connection,
      namespace: config.namespace,
      activities: createActivities(await makeDependencies(environment, config.artifacts, ownTaskQueue)),
      maxConcurrentActivityTaskExecutions: config.maxActivities,
      maxHeartbeatThrottleInterval: '5s',
    } satisfies Partial<WorkerOptions>;
    const worker = await Worker.create({
      ...shared,
      taskQueue,
      workflowBundle: await workflowBundle(),
      shutdownGraceTime,
    });
    const own = await Worker.create({ ...shared, taskQueue: ownTaskQueue });
    const stop = (): void => stopped(worker);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) return;
    say(`worker serves task queue "${taskQueue}" in namespace "${config.namespace}"; artifacts in ${config.artifacts}`);
    const holding = own.run();
    // Without it no snapshot could be held here any more.
    holding.catch(stop);
    try {
      await worker.run();
    } finally {
      // After the lanes: they read under what is held here.
      stopped(own);
      await holding;
    }
  } finally {
    await connection.close();
  }
}

function stopped(worker: Worker): void {
  if (worker.getState() === 'RUNNING') worker.shutdown();
}
