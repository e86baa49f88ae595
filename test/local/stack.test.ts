import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { isPortFree } from '../../local/ports';
import { startStack, type Stack } from '../../local/stack';
import { processesOn } from '../fixtures/processes';
import { startPair } from '../fixtures/postgres-pair';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stack-'));
  await chmod(folder, 0o755);
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function majorOf(url: string): Promise<unknown> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<{ major: number }>(`select current_setting('server_version_num')::int / 10000 as major`))
      .rows[0]?.major;
  } finally {
    await client.end();
  }
}

it('starts Temporal, PostgreSQL 15 as source and 18 as target, says each step, and stops them all', async () => {
  const said: string[] = [];
  const stack = await startStack({ folder, say: (line) => said.push(line) });
  try {
    expect(await majorOf(stack.source!.url())).toBe(15);
    expect(await majorOf(stack.target!.url())).toBe(18);
    expect((await fetch(stack.temporal!.uiUrl)).status).toBe(200);
    expect(said.filter((line) => line.includes('serving on'))).toHaveLength(3);
  } finally {
    await stack.stop();
  }
  expect(processesOn(folder)).toEqual([]);
  expect((await readdir(folder)).sort()).toEqual(['postgres-15', 'postgres-18', 'temporal']);
});

it('starts an etcd and a kube-apiserver for Calico when asked to, each with a folder of its own', async () => {
  const stack = await startStack({
    folder,
    temporal: false,
    postgres: false,
    calico: { tokens: [{ name: 'worker' }] },
  });
  try {
    expect((await fetch(`${stack.calicoEtcd!.endpoint}/health`)).status).toBe(200);
    expect(stack.kubernetes!.kubeconfig('worker')).toContain(stack.kubernetes!.url);
    expect(stack.kubernetes!.etcd.endpoint).not.toBe(stack.calicoEtcd!.endpoint);
    expect(stack.temporal).toBeUndefined();
  } finally {
    await stack.stop();
  }
  expect(processesOn(folder)).toEqual([]);
  expect((await readdir(folder)).sort()).toEqual(['calico-etcd', 'kubernetes']);
});

it('takes 7233 and 8233 for Temporal when asked to prefer them, unless they are taken', async () => {
  const blockers = await Promise.all([7233, 8233].map(occupy));
  let stack: Stack | undefined;
  try {
    stack = await startStack({ folder, postgres: false, temporal: { preferDefaults: true } });
    expect(stack.temporal!.port).not.toBe(7233);
    expect(stack.temporal!.uiUrl).not.toContain(':8233');
    expect(stack.source).toBeUndefined();
  } finally {
    await stack?.stop();
    for (const blocker of blockers) blocker?.close();
  }
});

it('stops what did start when one of them does not', async () => {
  const taken = createServer();
  const port = await new Promise<number>((resolve) => {
    taken.listen(0, '127.0.0.1', () => {
      const address = taken.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
  try {
    expect(await isPortFree(port)).toBe(false);
    await expect(startStack({ folder, temporal: { port } })).rejects.toThrow(`127.0.0.1:${port}`);
    expect(processesOn(folder)).toEqual([]);
  } finally {
    taken.close();
  }
});

it('gives tests a pair of servers in one call', async () => {
  const pair = await startPair();
  try {
    expect([await majorOf(pair.source.url()), await majorOf(pair.target.url())]).toEqual([15, 18]);
  } finally {
    await pair.stop();
  }
  expect(processesOn(pair.source.folder)).toEqual([]);
});

/** Undefined when someone else holds the port already, which is just as good here. */
function occupy(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
