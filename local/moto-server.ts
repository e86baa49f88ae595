// Moto on 127.0.0.1: the APIs of S3 and RDS (and of all else that it knows) without an account, all in its memory. It takes any credentials.
// For tests; it ends with this process, whatever ends it.
import { join } from 'node:path';
import { findMoto } from './binaries/moto';
import type { Say } from './binaries/search';
import { controls, host, inServerFolder, onPort, serve, type LocalServer } from './local-server';
import type { ServerProcess } from './processes';

export interface MotoServer extends LocalServer {
  /** Of every service: `http://127.0.0.1:15123`. */
  readonly endpoint: string;
  readonly port: number;
}

/** Starts one and resolves when it answers. Throws with the end of its log when it does not, and with all that was tried when there is none. */
export async function startMoto(options: { port?: number; say?: Say } = {}): Promise<MotoServer> {
  const { say = () => undefined } = options;
  const { command, args } = await findMoto({ say });
  return inServerFolder(undefined, 'cutover-moto-', async (folder) => {
    const start = (port: number): Promise<ServerProcess> =>
      serve({
        name: 'moto',
        command,
        args: [...args, '--host', host, '--port', String(port)],
        cwd: folder.path,
        // No AWS_…: those are somebody's own account.
        environment: { PATH: process.env.PATH, HOME: folder.path, MOTO_ALLOW_NONEXISTENT_REGION: 'false' },
        logFile: join(folder.path, 'moto.log'),
        stops: [{ signal: 'SIGTERM', graceMs: 3_000 }],
        folder,
        port,
        check: () => answers(port),
      });
    const { port, first } = await onPort(options.port, start);
    const endpoint = `http://${host}:${port}`;
    say(`moto: serving on ${endpoint}`);
    return { endpoint, port, folder: folder.path, ...controls(folder, first, () => start(port)) };
  });
}

async function answers(port: number): Promise<void> {
  const answer = await fetch(`http://${host}:${port}/moto-api/data.json`, { signal: AbortSignal.timeout(2_000) });
  if (!answer.ok) throw new Error(`it answers ${answer.status}`);
  await answer.arrayBuffer();
}
