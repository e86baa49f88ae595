import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { isPortFree } from '../../local/ports';
import { startStack, type Stack } from '../../local/stack';
import { processesOn } from '../fixtures/processes';

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
  // 7233 and 8233 are preferred where that is asked for, unless they are taken.
  const blockers = await Promise.all([7233, 8233].map(occupy));
  const said: string[] = [];
  let stack: Stack | undefined;
  try {
    stack = await startStack({ folder, temporal: { preferDefaults: true }, say: (line) => said.push(line) });
    expect(await majorOf(stack.source!.url())).toBe(15);
    expect(await majorOf(stack.target!.url())).toBe(18);
    expect((await fetch(stack.temporal!.uiUrl)).status).toBe(200);
    expect(stack.temporal!.port).not.toBe(7233);
    expect(stack.temporal!.uiUrl).not.toContain(':8233');
    expect(said.filter((line) => line.includes('serving on'))).toHaveLength(3);
  } finally {
    await stack?.stop();
    for (const blocker of blockers) blocker?.close();
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
    expect(stack.source).toBeUndefined();
  } finally {
    await stack.stop();
  }
  expect(processesOn(folder)).toEqual([]);
  expect((await readdir(folder)).sort()).toEqual(['calico-etcd', 'kubernetes']);
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

/** Undefined when someone else holds the port already, which is just as good here. */
function occupy(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
