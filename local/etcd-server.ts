// A real etcd server on 127.0.0.1: one member, data that outlives a kill, fsync on. It is Calico's datastore in demo, tests
// and benchmarks, and the store below the local kube-apiserver. It ends with this process, whatever ends it.
import { join } from 'node:path';
import { findEtcd } from './binaries/etcd';
import type { Say } from './binaries/search';
import { controls, host, inServerFolder, onPort, serve, type LocalServer, type ServerFolder } from './local-server';
import type { ServerProcess } from './processes';

export interface EtcdOptions {
  /** Holds `data` and `etcd.log`; kept and used again. Without it a temporary folder, removed at the end. */
  folder?: string;
  /** For clients; a free one by default. */
  port?: number;
  /** Flags of etcd on top of our own; the last of a name counts. */
  extraArguments?: string[];
  say?: Say;
}

export interface EtcdServer extends LocalServer {
  /** `http://127.0.0.1:2379`, as clients take it. */
  readonly endpoint: string;
  readonly port: number;
}

/** Starts a server and resolves when it is healthy: it has a leader and takes writes. Throws with the end of its log when it does not. */
export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdServer> {
  const { say = () => undefined, extraArguments = [] } = options;
  const command = await findEtcd({ say });
  return inServerFolder(options.folder, 'cutover-etcd-', async (folder) => {
    const start = (port: number): Promise<ServerProcess> => serveEtcd({ command, folder, port, extraArguments });
    const { port, first } = await onPort(options.port, start);
    const endpoint = `http://${host}:${port}`;
    say(`etcd: serving on ${endpoint}`);
    return { endpoint, port, folder: folder.path, ...controls(folder, first, () => start(port)) };
  });
}

interface EtcdRun {
  command: string;
  folder: ServerFolder;
  port: number;
  extraArguments: string[];
}

function serveEtcd({ command, folder, port, extraArguments }: EtcdRun): Promise<ServerProcess> {
  const endpoint = `http://${host}:${port}`;
  // There is no other member, so any free port does for those; the name has to be the same at every start.
  const peers = `http://${host}:0`;
  return serve({
    name: 'etcd',
    command,
    args: [
      ...['--name', 'default', '--data-dir', join(folder.path, 'data')],
      ...['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
      ...['--listen-peer-urls', peers, '--initial-advertise-peer-urls', peers, '--initial-cluster', `default=${peers}`],
      ...['--logger', 'zap', '--log-level', 'warn', '--log-outputs', 'stderr'],
      ...extraArguments,
    ],
    cwd: folder.path,
    // No ETCD_…: those are settings of a server or client of somebody's own. Debian's etcd asks for the architecture on ARM.
    environment: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      ...(process.arch === 'x64' ? {} : { ETCD_UNSUPPORTED_ARCH: process.arch }),
    },
    logFile: join(folder.path, 'etcd.log'),
    stops: [{ signal: 'SIGTERM', graceMs: 5_000 }],
    folder,
    port,
    check: () => isHealthy(endpoint),
  });
}

async function isHealthy(endpoint: string): Promise<void> {
  const answer = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(2_000) });
  const text = await answer.text();
  if (!answer.ok || !/"health"\s*:\s*"true"/.test(text)) throw new Error(`health is ${answer.status} ${text.trim()}`);
}
