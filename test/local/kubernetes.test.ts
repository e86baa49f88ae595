import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request, type RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { startKubernetes, type KubernetesOptions, type KubernetesServer } from '../../local/kube-apiserver';
import { leftBehind, processesOn } from '../fixtures/processes';
import { until } from '../fixtures/until';

const servers: KubernetesServer[] = [];
const start = async (options?: KubernetesOptions): Promise<KubernetesServer> => {
  const server = await startKubernetes(options);
  servers.push(server);
  return server;
};
const stopAll = async (): Promise<void> => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
};
afterAll(stopAll);

interface Answer {
  status: number | undefined;
  body: unknown;
}

/** Plain requests with what a client reads out of the kubeconfig; a body with a method of PATCH is applied as `kubectl apply --server-side` does. */
async function ask(kubeconfig: string, method: string, path: string, body?: object): Promise<Answer> {
  const config = new KubeConfig();
  config.loadFromString(kubeconfig);
  const type = method === 'PATCH' ? 'application/apply-patch+yaml' : 'application/json';
  const options: RequestOptions = { method, agent: false, headers: { 'content-type': type } };
  await config.applyToHTTPSOptions(options);
  return new Promise((resolve, reject) => {
    const asked = request(`${config.getCurrentCluster()?.server}${path}`, options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.once('error', reject);
      answer.once('end', () => {
        const text = Buffer.concat(chunks).toString();
        resolve({ status: answer.statusCode, body: text.startsWith('{') ? JSON.parse(text) : text });
      });
    });
    asked.once('error', reject);
    asked.end(body && JSON.stringify(body));
  });
}

const get = (server: KubernetesServer, path: string): Promise<Answer> => ask(server.kubeconfig(), 'GET', path);

/** Throws when it is refused. */
async function apply(server: KubernetesServer, path: string, object: object): Promise<void> {
  const answer = await ask(server.kubeconfig(), 'PATCH', `${path}?fieldManager=tests&force=true`, object);
  if (answer.status !== 200 && answer.status !== 201) throw new Error(JSON.stringify(answer));
}

const configMapsPath = '/api/v1/namespaces/default/configmaps';
const putConfigMap = (server: KubernetesServer, name: string): Promise<void> =>
  apply(server, `${configMapsPath}/${name}`, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data: { name },
  });

async function namesAt(server: KubernetesServer, path: string): Promise<string[]> {
  const { body } = await get(server, path);
  const { items } = body as { items: { metadata: { name: string } }[] };
  return items.map(({ metadata }) => metadata.name);
}
const configMaps = async (server: KubernetesServer): Promise<string[]> =>
  (await namesAt(server, configMapsPath)).filter((name) => name !== 'kube-root-ca.crt');

const rbac = '/apis/rbac.authorization.k8s.io/v1';
const workloads = '/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node';

describe('a server that is started', () => {
  let server: KubernetesServer;
  const said: string[] = [];
  beforeAll(async () => {
    const tokens = [
      { name: 'reader', groups: ['tests:readers'] },
      { name: 'stranger', token: 'known-before' },
    ];
    server = await start({ tokens, say: (line) => said.push(line) });
  });
  afterAll(stopAll);

  it('serves its namespace and roles to a client that checks its certificate', async () => {
    const config = new KubeConfig();
    config.loadFromFile(server.kubeconfigPath);
    expect(config.getCurrentCluster()).toMatchObject({ server: server.url, skipTLSVerify: false });
    expect((await get(server, '/version')).body).toMatchObject({ gitVersion: expect.stringMatching(/^v\d/) as string });
    expect(await namesAt(server, '/api/v1/namespaces')).toContain('default');
    expect(await namesAt(server, `${rbac}/clusterroles`)).toContain('cluster-admin');
    expect(said.filter((line) => line.includes('serving on'))).toHaveLength(2);
  });

  it('establishes a custom resource and keeps its objects as they were applied', async () => {
    const definition = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.tests.cutover';
    const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
    await apply(server, definition, {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'widgets.tests.cutover' },
      spec: {
        group: 'tests.cutover',
        scope: 'Cluster',
        names: { kind: 'Widget', plural: 'widgets' },
        versions: [{ name: 'v1', served: true, storage: true, schema }],
      },
    });
    await until('the custom resource is established', async () =>
      JSON.stringify((await get(server, definition)).body).includes('"type":"Established"'),
    );
    const widget = '/apis/tests.cutover/v1/widgets/one';
    await until('its path is served', async () => (await get(server, '/apis/tests.cutover/v1/widgets')).status === 200);
    const spec = { size: 7, tags: ['a'] };
    await apply(server, widget, { apiVersion: 'tests.cutover/v1', kind: 'Widget', metadata: { name: 'one' }, spec });
    expect((await get(server, widget)).body).toMatchObject({ spec });
  });

  it('lets a user do what roles allow, and nothing else', async () => {
    const listed = async (user: string): Promise<number | undefined> =>
      (await ask(server.kubeconfig(user), 'GET', '/api/v1/nodes')).status;
    expect([await listed('reader'), await listed('stranger')]).toEqual([403, 403]);
    const head = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: 'nodes' } };
    await apply(server, `${rbac}/clusterroles/nodes`, {
      ...head,
      kind: 'ClusterRole',
      rules: [{ apiGroups: [''], resources: ['nodes'], verbs: ['list'] }],
    });
    await apply(server, `${rbac}/clusterrolebindings/nodes`, {
      ...head,
      kind: 'ClusterRoleBinding',
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'nodes' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'tests:readers' }],
    });
    await until('the group may list nodes', async () => (await listed('reader')) === 200);
    expect(await listed('stranger')).toBe(403);
    expect(server.kubeconfig('stranger')).toContain('token: known-before');
    expect(() => server.kubeconfig('nobody')).toThrow('no user nobody');
  });

  it('takes privileged workloads, and a status that somebody writes in place of a controller', async () => {
    const labels = { app: 'calico-node' };
    const head = { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'calico-node' } };
    const containers = [{ name: 'a', image: 'none', securityContext: { privileged: true } }];
    const template = { metadata: { labels }, spec: { containers } };
    await apply(server, workloads, { ...head, spec: { selector: { matchLabels: labels }, template } });
    const status = { currentNumberScheduled: 1, desiredNumberScheduled: 1, numberMisscheduled: 0, numberReady: 1 };
    await apply(server, `${workloads}/status`, { ...head, status });
    expect((await get(server, workloads)).body).toMatchObject({ status: { numberReady: 1 } });
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'one' }, spec: { containers } };
    await apply(server, '/api/v1/namespaces/default/pods/one', pod);
  });

  it('lets nobody else on this machine read its tokens and keys', async () => {
    for (const file of ['kubeconfig', 'tokens.csv', 'service-account.key', '.']) {
      expect((await stat(join(server.folder, file))).mode & 0o077).toBe(0);
    }
  });

  it('runs beside another without sharing anything with it', async () => {
    const other = await start();
    await putConfigMap(server, 'mine');
    expect(await configMaps(other)).toEqual([]);
    const misled = server.kubeconfig().replace(server.url, other.url);
    await expect(ask(misled, 'GET', '/api/v1/namespaces')).rejects.toThrow(/certificate/);
  });

  it('says which port is taken instead of taking another than asked for', async () => {
    await expect(startKubernetes({ port: server.port })).rejects.toThrow(`${server.port}`);
  });
});

it('keeps its data, port and tokens over a restart, over kill -9, and over kill -9 of its etcd', async () => {
  const server = await start({ tokens: [{ name: 'reader' }] });
  const before = [server.kubeconfig(), server.kubeconfig('reader')];
  await putConfigMap(server, 'a');
  await server.restart();
  await putConfigMap(server, 'b');
  server.kill();
  await until('it is dead', () => !server.running());
  expect(server.etcd.running()).toBe(true);
  await server.restart();
  await putConfigMap(server, 'c');
  server.kill();
  server.etcd.kill();
  await server.restart();
  expect(await configMaps(server)).toEqual(['a', 'b', 'c']);
  expect([server.kubeconfig(), server.kubeconfig('reader')]).toEqual(before);
  await stopAll();
});

it('lives on when only its etcd was killed and came back', async () => {
  const server = await start();
  server.etcd.kill();
  await server.etcd.restart();
  await until('it takes writes again', () =>
    putConfigMap(server, 'a').then(
      () => true,
      () => false,
    ),
  );
  expect(await configMaps(server)).toEqual(['a']);
  await stopAll();
});

it('leaves no process, no port and no folder behind when stopped', async () => {
  const server = await start();
  const folders = [server.folder, server.etcd.folder];
  for (const folder of folders) expect(processesOn(folder)).not.toEqual([]);
  await server.stop();
  for (const one of [server, server.etcd]) expect(await leftBehind(one)).toEqual([]);
});

it('keeps a given folder: data, tokens and certificate are found again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kept-'));
  try {
    const first = await start({ folder, tokens: [{ name: 'reader' }] });
    await putConfigMap(first, 'kept');
    await first.stop();
    const second = await start({ folder, port: first.port });
    expect(await configMaps(second)).toEqual(['kept']);
    expect(second.kubeconfig('reader')).toBe(first.kubeconfig('reader'));
  } finally {
    await stopAll();
    await rm(folder, { recursive: true, force: true });
  }
});

it('that cannot start says why, with the end of its log, and leaves neither folder nor etcd behind', async () => {
  const temporary = await mkdtemp(join(tmpdir(), 'refused-'));
  const before = process.env.TMPDIR;
  process.env.TMPDIR = temporary;
  try {
    const starting = startKubernetes({ extraArguments: ['--authorization-mode=NoSuchMode'] });
    await expect(starting).rejects.toThrow(/kube-apiserver did not start.*End of its log.*NoSuchMode/s);
    expect(await readdir(temporary)).toEqual([]);
    expect(processesOn(temporary)).toEqual([]);
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    await rm(temporary, { recursive: true, force: true });
  }
});
