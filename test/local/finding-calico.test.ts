import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { kubernetesVersion, type EnvtestOptions } from '../../local/binaries/envtest';
import { etcdVersion, findEtcd } from '../../local/binaries/etcd';
import type { BinarySearch } from '../../local/binaries/find-binary';
import { findKubeApiserver } from '../../local/binaries/kube-apiserver';
import { commandsIn, script } from '../fixtures/pretended-commands';

let folder: string;
let server: Server | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'finding-'));
});
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

/** No PATH of this machine: it may hold these servers, or Go. */
const noPath = '/nowhere';
/** Nobody answers there, so these tests ask nothing of the network. */
const nowhere = { indexUrl: 'http://127.0.0.1:9/index.yaml' };
const cacheOf = (command: string, version: string): string =>
  join(folder, 'cache', 'cutover', command, version, command);
const etcd = (version: string): string => `etcd Version: ${version}`;
const kubernetes = (version: string): string => `Kubernetes v${version}`;

describe.each([
  {
    command: 'etcd',
    variable: 'CUTOVER_ETCD',
    find: findEtcd,
    version: etcdVersion,
    good: etcd('3.4.23'),
    old: etcd('3.3.25'),
    module: 'go.etcd.io/etcd/server/v3',
  },
  {
    command: 'kube-apiserver',
    variable: 'CUTOVER_KUBE_APISERVER',
    find: findKubeApiserver,
    version: kubernetesVersion,
    good: kubernetes('1.31.0'),
    old: kubernetes('1.19.2'),
    module: 'k8s.io/kubernetes/cmd/kube-apiserver',
  },
])('$command', ({ command, variable, find, version, good, old, module }) => {
  const cached = (): string => cacheOf(command, version);
  const search = (environment: NodeJS.ProcessEnv, options: BinarySearch & EnvtestOptions = {}): Promise<string> =>
    find({ environment: { XDG_CACHE_HOME: join(folder, 'cache'), ...environment }, ...nowhere, ...options });

  it('is taken from its variable, then the folder of KUBEBUILDER_ASSETS, PATH, the cache', async () => {
    const named = join(commandsIn(join(folder, 'named'), { 'my-own': good }), 'my-own');
    const assets = commandsIn(join(folder, 'assets'), { [command]: good });
    const path = commandsIn(join(folder, 'path'), { [command]: good });
    commandsIn(dirname(cached()), { [command]: good });
    const PATH = [noPath, path].join(delimiter);
    const look = (environment: NodeJS.ProcessEnv): Promise<string> => search(environment, { mayFetch: false });
    expect(await look({ [variable]: named, KUBEBUILDER_ASSETS: assets, PATH })).toBe(named);
    expect(await look({ KUBEBUILDER_ASSETS: assets, PATH })).toBe(join(assets, command));
    expect(await look({ PATH })).toBe(join(path, command));
    expect(await look({ PATH: noPath })).toBe(cached());
  });

  it('that a variable names but does not do is said at once, and the last error lists all that was tried', async () => {
    const named = join(commandsIn(join(folder, 'named'), { [command]: old }), command);
    const assets = commandsIn(join(folder, 'assets'), {});
    const path = commandsIn(join(folder, 'path'), { [command]: 'something else' });
    const said: string[] = [];
    const environment = { [variable]: named, KUBEBUILDER_ASSETS: assets, PATH: path };
    const error = await search(environment, { say: (line) => said.push(line) }).catch((reason: unknown) =>
      String(reason),
    );
    expect(said.slice(0, 2)).toEqual([
      `${variable}=${named} does not do (too old: ${old}); looking further`,
      `KUBEBUILDER_ASSETS=${assets} does not do (${command}: not there); looking further`,
    ]);
    expect(error).toContain(`${variable}=${named}: too old`);
    expect(error).toContain(`KUBEBUILDER_ASSETS=${assets}: ${command}: not there`);
    expect(error).toContain(`${join(path, command)} (PATH): answers "something else"`);
    expect(error).toContain(`${cached()}: not there`);
    expect(error).toContain('no go in PATH');
    expect(error).toMatch(/envtest's archive: fetch failed: .*(ECONNREFUSED|bad port)/);
    expect(error).toContain(`set ${variable} to `);
    expect(existsSync(dirname(cached()))).toBe(false);
  });

  it('is built once from our pinned module, under two searches at once', async () => {
    const go = script(
      join(folder, 'go', 'go'),
      `PATH=/usr/bin:/bin; echo "$@" >> ${folder}/calls; head -1 go.mod >> ${folder}/calls; test -s go.sum || exit 1
       for argument; do test "$before" = -o && out=$argument; before=$argument; done
       printf '#!/bin/sh\\necho "${good}"\\n' > "$out"; chmod 755 "$out"`,
    );
    const PATH = dirname(go);
    expect(await Promise.all([search({ PATH }), search({ PATH })])).toEqual([cached(), cached()]);
    const calls = readFileSync(join(folder, 'calls'), 'utf8').trim().split('\n');
    expect(calls).toEqual([expect.stringMatching(/^build -mod=readonly .*/), `module cutover/${command}`]);
    expect(calls[0]?.endsWith(module)).toBe(true);
  });

  it("comes out of envtest's archive: the newest that is not beyond our version, for this platform", async () => {
    const archive = archiveOf({ [command]: good });
    const index = await serveIndex({
      'v1.999.0': archive,
      'v1.36.9-rc.1': archive,
      'v1.35.0': archive,
      'v1.36.1': 'another-platform',
      'v1.36.0': archive,
      'v1.9.0': archive,
    });
    expect(await search({ PATH: noPath }, { indexUrl: index.url })).toBe(cached());
    expect(index.asked).toEqual(['/index.yaml', '/v1.36.0']);
    expect(execFileSync(cached(), ['--version']).toString().trim()).toBe(good);
  });
});

it("an archive without the hash of envtest's index is not unpacked", async () => {
  const index = await serveIndex({ 'v1.36.0': archiveOf({ 'kube-apiserver': kubernetes('1.36.0') }) }, 'f00');
  const search = findKubeApiserver({ environment: { PATH: noPath, XDG_CACHE_HOME: folder }, indexUrl: index.url });
  await expect(search).rejects.toThrow(/v1\.36\.0 has SHA-512 [0-9a-f]{128}, the index says f00/);
});

it('a download without an answer is given up after the patience given', async () => {
  server = createServer(() => undefined);
  const indexUrl = `${await listening(server)}/index.yaml`;
  const search = findKubeApiserver({
    environment: { PATH: noPath, XDG_CACHE_HOME: folder },
    indexUrl,
    patienceMs: 200,
  });
  await expect(search).rejects.toThrow('no answer or no progress for 0.2 s');
});

/** An archive as envtest's releases hold it. */
function archiveOf(commands: Record<string, string>): Buffer {
  const root = join(folder, 'archive');
  commandsIn(join(root, 'controller-tools', 'envtest'), commands);
  execFileSync('tar', ['-czf', join(folder, 'archive.tar.gz'), '-C', root, 'controller-tools']);
  return readFileSync(join(folder, 'archive.tar.gz'));
}

interface Index {
  url: string;
  /** Paths that were asked for. */
  asked: string[];
}

/** Serves an index as envtest's, and its archives; `hash` in place of the right one. A text stands for an archive of another platform. */
async function serveIndex(archives: Record<string, Buffer | string>, hash?: string): Promise<Index> {
  const asked: string[] = [];
  server = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push(path);
    response.end(path === '/index.yaml' ? JSON.stringify(index) : archives[path.slice(1)]);
  });
  const base = await listening(server);
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const entry = (version: string, archive: Buffer | string): object => ({
    [`envtest-${version}-${typeof archive === 'string' ? archive : `${process.platform}-${architecture}`}.tar.gz`]: {
      hash: hash ?? createHash('sha512').update(archive).digest('hex'),
      selfLink: `${base}/${version}`,
    },
  });
  // JSON is YAML too.
  const index = {
    releases: Object.fromEntries(Object.entries(archives).map(([version, one]) => [version, entry(version, one)])),
  };
  return { url: `${base}/index.yaml`, asked };
}

async function listening(listener: Server): Promise<string> {
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
}
