// Logs as JSON lines (pino), the SDK's and the core's through the same logger; metrics for Prometheus where an address is given.
import { DefaultLogger, makeTelemetryFilterString, Runtime, type LogEntry } from '@temporalio/worker';
import { pino, type Logger } from 'pino';
import type { WorkerConfig } from './config';

const levels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** Installs the runtime; once a process, before anything else of the SDK. */
export function installRuntime({
  logLevel,
  metricsAddress,
}: Pick<WorkerConfig, 'logLevel' | 'metricsAddress'>): Logger {
  const logger = pino(
    { level: logLevel, base: undefined, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: false }),
  );
  Runtime.install({
    logger: new DefaultLogger(logLevel === 'silent' ? 'ERROR' : 'INFO', (entry) => writeEntry(logger, entry)),
    shutdownSignals: [],
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} },
      ...(metricsAddress ? { metrics: { prometheus: { bindAddress: metricsAddress } } } : {}),
    },
  });
  return logger;
}

function writeEntry(logger: Logger, { level, message, meta }: LogEntry): void {
  const { error, ...rest } = (meta ?? {}) as Record<string, unknown>;
  logger[levels[level]]({ ...rest, ...(error instanceof Error ? { error: error.message } : {}) }, message);
}
