// A snapshot by somebody else's tool (`aws rds create-db-snapshot …`): run without a shell, in the worker's environment
// without the connection strings of this migration and without anything else that looks like a credential for a database.
import type { ConnectionReference } from '../../../plan/reference';
import { failure } from '../../errors';
import { runTool } from '../client-tools';
import { tail } from './tool-failure';

/** The worker's environment, minus the variables that the references name, URLs with a password, PG* and Temporal's keys. AWS_*, PATH, HOME and the like stay. */
export function commandEnvironment(
  environment: NodeJS.ProcessEnv,
  references: ConnectionReference[],
): Record<string, string> {
  const named = new Set(references.flatMap((reference) => ('env' in reference ? [reference.env] : [])));
  const passes = (name: string, value: string): boolean =>
    !named.has(name) && !/^(PG|TEMPORAL_)/.test(name) && !/:\/\/[^/@\s]*:[^/@\s]*@/.test(value);
  const kept = Object.entries(environment).flatMap(([name, value]): [string, string][] =>
    value !== undefined && passes(name, value) ? [[name, value]] : [],
  );
  return Object.fromEntries(kept);
}

/**
 * Runs the command to its end; exit code 0 is success.
 * @returns the last 2000 characters of what it printed, credentials masked
 * @throws PreconditionFailed when it is not there, fails or takes longer than `timeoutMs`. Never retried by itself: it may not be repeatable
 */
export async function runCommand(
  command: string[],
  options: {
    environment: Record<string, string>;
    timeoutMs: number;
    signal: AbortSignal;
    /** The section of the plan that it is of. */
    section?: string;
  },
): Promise<string> {
  const [program, ...args] = command;
  const { section = 'snapshot' } = options;
  const inTime = AbortSignal.timeout(options.timeoutMs);
  try {
    const { exitCode, stdout, stderr } = await runTool(program ?? '', args, {
      environment: options.environment,
      signal: AbortSignal.any([options.signal, inTime]),
    });
    if (exitCode === 0) return tail(stdout, 2_000);
    throw failure(
      'PreconditionFailed',
      `The command ${program} of the plan's ${section} ended with exit code ${exitCode}: ${tail(stderr || stdout) || 'it said nothing'}. Run it by hand on the worker, mend it, then retry.`,
    );
  } catch (error) {
    options.signal.throwIfAborted();
    if (inTime.aborted)
      throw failure(
        'PreconditionFailed',
        `The command ${program} of the plan's ${section} was ended after ${options.timeoutMs} ms, its time limit. Raise ${section}.timeout or find out why it takes so long, then retry.`,
      );
    if (
      typeof error === 'object' &&
      error !== null &&
      'code' in error &&
      (error.code === 'ENOENT' || error.code === 'EACCES')
    ) {
      throw failure(
        'PreconditionFailed',
        `The command ${program} of the plan's ${section} cannot be run on this worker (${error.code}). Install it on every worker, then retry.`,
      );
    }
    throw error;
  }
}
