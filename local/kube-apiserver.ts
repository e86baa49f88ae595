// A real kube-apiserver on 127.0.0.1 with an etcd of its own: RBAC, CRDs, server-side apply. No kubelet and no controllers:
// nodes and the status of workloads are objects that somebody writes, and a deleted namespace stays terminating.
// It ends with this process, whatever ends it.
import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { findKubeApiserver } from './binaries/kube-apiserver';
import type { Say } from './binaries/search';
import { startEtcd, type EtcdServer } from './etcd-server';
import {
  admin,
  authorityOf,
  keepServiceAccountKey,
  keepTokens,
  kubeconfigOf,
  type KnownUser,
  type TokenUser,
} from './kube-credentials';
import { controls, host, inServerFolder, onPort, serve, type LocalServer, type ServerFolder } from './local-server';
import type { ServerProcess } from './processes';

export interface KubernetesOptions {
  /** Holds certificates, keys, tokens, `kubeconfig`, the log and `etcd`; kept and used again. Without it temporary ones, removed at the end. */
  folder?: string;
  /** A free one by default. */
  port?: number;
  /** Users besides the administrator; what they may do is up to RBAC objects. */
  tokens?: TokenUser[];
  /** Flags of kube-apiserver on top of our own; the last of a name counts. */
  extraArguments?: string[];
  say?: Say;
}

export interface KubernetesServer extends LocalServer {
  /** `https://127.0.0.1:6443`. */
  readonly url: string;
  readonly port: number;
  /** File of the administrator's kubeconfig, for `KUBECONFIG`. */
  readonly kubeconfigPath: string;
  /** The kubeconfig of a user, the administrator's by default, with the server's authority in it. Throws when there is no such user. */
  kubeconfig(user?: string): string;
  /** Its own store. `kill` and `restart` of the server leave it running; killed by itself, `restart` of the server brings it back too. */
  readonly etcd: EtcdServer;
}

/** Starts both and resolves when the namespace `default` and the first roles are there. Throws with the end of a log when they are not. */
export async function startKubernetes(options: KubernetesOptions = {}): Promise<KubernetesServer> {
  const { say = () => undefined, tokens = [], extraArguments = [] } = options;
  const command = await findKubeApiserver({ say });
  return inServerFolder(options.folder, 'cutover-kubernetes-', async (folder) => {
    const serviceAccountKey = await keepServiceAccountKey(folder.path);
    const { file: tokenFile, users } = await keepTokens(folder.path, tokens);
    // In a temporary folder of its own, or each of the two would remove what the other still writes to.
    const etcd = await startEtcd({ folder: options.folder && join(options.folder, 'etcd'), say });
    try {
      const files = { serviceAccountKey, tokenFile, certificates: join(folder.path, 'certificates') };
      const start = (port: number): Promise<ServerProcess> =>
        serveKubernetes({ command, folder, port, etcd, files, admin: userNamed(users, admin.name), extraArguments });
      const { port, first } = await onPort(options.port, start);
      const url = `https://${host}:${port}`;
      const authority = await authorityOf(certificateIn(files.certificates));
      const kubeconfig = (user: string = admin.name): string => kubeconfigOf(url, authority, userNamed(users, user));
      const kubeconfigPath = join(folder.path, 'kubeconfig');
      await writeFile(kubeconfigPath, kubeconfig(), { mode: 0o600 });
      say(`Kubernetes: serving on ${url}, kubeconfig ${kubeconfigPath}`);

      const own = controls(folder, first, async () => {
        if (!etcd.running()) await etcd.restart();
        return start(port);
      });
      return {
        url,
        port,
        folder: folder.path,
        kubeconfigPath,
        kubeconfig,
        etcd,
        ...own,
        async stop() {
          await own.stop().finally(() => etcd.stop());
        },
      };
    } catch (error) {
      await etcd.stop();
      throw error;
    }
  });
}

interface KubernetesRun {
  command: string;
  folder: ServerFolder;
  port: number;
  etcd: EtcdServer;
  files: { serviceAccountKey: string; tokenFile: string; certificates: string };
  admin: KnownUser;
  extraArguments: string[];
}

async function serveKubernetes(run: KubernetesRun): Promise<ServerProcess> {
  const { command, folder, port, etcd, files, extraArguments } = run;
  await mkdir(files.certificates, { recursive: true, mode: 0o700 });
  return serve({
    name: 'kube-apiserver',
    command,
    args: [
      ...['--etcd-servers', etcd.endpoint, '--bind-address', host, '--secure-port', String(port)],
      // Without a route to the world there is no address to find out; and loopback must not become an endpoint.
      ...['--advertise-address', host, '--endpoint-reconciler-type', 'none'],
      ...['--cert-dir', files.certificates, '--token-auth-file', files.tokenFile, '--authorization-mode', 'RBAC'],
      ...['--service-account-issuer', 'https://kubernetes.default.svc'],
      ...['--service-account-key-file', files.serviceAccountKey],
      ...['--service-account-signing-key-file', files.serviceAccountKey],
      ...['--service-cluster-ip-range', '10.96.0.0/16'],
      // Pods are taken without the service accounts that only a controller would make; Calico's are privileged.
      ...['--disable-admission-plugins=ServiceAccount', '--allow-privileged=true'],
      ...extraArguments,
    ],
    cwd: folder.path,
    environment: { PATH: process.env.PATH, HOME: process.env.HOME },
    logFile: join(folder.path, 'kube-apiserver.log'),
    stops: [{ signal: 'SIGTERM', graceMs: 6_000 }],
    folder,
    port,
    check: () => isServing(port, files.certificates, run.admin.token),
  });
}

/** Its hooks are done, and what every client expects to be there is there. */
async function isServing(port: number, certificates: string, token: string): Promise<void> {
  const authority = await authorityOf(certificateIn(certificates));
  for (const path of [
    '/readyz',
    '/api/v1/namespaces/default',
    '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:discovery',
    '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/cluster-admin',
  ]) {
    const status = await statusOf({ port, path, authority, token });
    if (status !== 200) throw new Error(`${path} answers ${status}`);
  }
}

interface Asked {
  port: number;
  path: string;
  authority: string;
  token: string;
}

function statusOf({ port, path, authority, token }: Asked): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request(
      { host, port, path, ca: authority, agent: false, timeout: 5_000, headers: { authorization: `Bearer ${token}` } },
      (answer) => {
        answer.resume();
        answer.once('end', () => resolve(answer.statusCode));
        answer.once('error', reject);
      },
    );
    asked.once('timeout', () => asked.destroy(new Error(`${path} gave no answer within 5 s`)));
    asked.once('error', reject);
    asked.end();
  });
}

/** Where the server writes the certificate that it makes for itself, and the authority's behind it. */
function certificateIn(folder: string): string {
  return join(folder, 'apiserver.crt');
}

function userNamed(users: KnownUser[], name: string): KnownUser {
  const user = users.find((one) => one.name === name);
  if (!user) throw new Error(`The local kube-apiserver has no user ${name}. Name it in "tokens" when it is started.`);
  return user;
}
