// The connection of a command to Temporal: the same variables and profiles as the Temporal CLI (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE,
// TEMPORAL_PROFILE, TLS, API key), and an error that says what was tried when nobody answers.
import { Client, Connection } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { taskQueue } from '../workflows/messages';
import { CommandFailed, type ExitCode, type Terminal } from './context';

export interface Server {
  client: Client;
  connection: Connection;
  address: string;
  namespace: string;
}

const defaultAddress = '127.0.0.1:7233';
const connectTimeoutMs = 5_000;

/** Connects, runs `use`, and closes. @throws CommandFailed when the server cannot be reached or the settings are wrong */
export async function withServer(terminal: Terminal, use: (server: Server) => Promise<ExitCode>): Promise<ExitCode> {
  const server = await connect(terminal.environment);
  try {
    return await use(server);
  } finally {
    await server.connection.close();
  }
}

async function connect(environment: NodeJS.ProcessEnv): Promise<Server> {
  const { connectionOptions, namespace = 'default' } = settings(environment);
  const address = connectionOptions.address ?? defaultAddress;
  try {
    const connection = await Connection.connect({ ...connectionOptions, address, connectTimeout: connectTimeoutMs });
    return { client: new Client({ connection, namespace }), connection, address, namespace };
  } catch (error) {
    throw new CommandFailed(
      [
        `No Temporal server answers at ${address} (${origin(environment, connectionOptions.address)}), tried for ${connectTimeoutMs / 1_000} s: ${firstLine(error)}.`,
        'Start one with "cutover dev" (or "temporal server start-dev"), or set TEMPORAL_ADDRESS to the one you have.',
      ].join('\n'),
      1,
    );
  }
}

function settings(environment: NodeJS.ProcessEnv): ReturnType<typeof loadClientConnectConfig> {
  try {
    const defined = Object.entries(environment).flatMap(([key, value]) =>
      value === undefined ? [] : [[key, value] as const],
    );
    return loadClientConnectConfig({ overrideEnvVars: Object.fromEntries(defined) });
  } catch (error) {
    throw new CommandFailed(
      `The Temporal settings (TEMPORAL_* variables and the profile file) cannot be used: ${firstLine(error)}`,
      2,
    );
  }
}

function origin(environment: NodeJS.ProcessEnv, address: string | undefined): string {
  if (environment.TEMPORAL_ADDRESS) return 'from TEMPORAL_ADDRESS';
  return address === undefined
    ? 'the default address'
    : `from the profile ${environment.TEMPORAL_PROFILE ?? 'default'}`;
}

/** Whether any worker has asked for migrations in the last minutes; undefined when the server does not tell. */
export async function workerIsUp({ connection, namespace }: Server): Promise<boolean | undefined> {
  try {
    const { pollers } = await connection.workflowService.describeTaskQueue({
      namespace,
      taskQueue: { name: taskQueue },
    });
    return pollers.length > 0;
  } catch {
    return undefined;
  }
}

export const noWorker = `No worker serves the task queue "${taskQueue}". Start one with "cutover worker" (or "cutover dev").`;

/** The first line of an error's message, of the innermost cause that has one. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n')[0]?.trim() || 'no reason was given';
}
