import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { defineSearchAttributeKey, TypedSearchAttributes } from '@temporalio/common';
import { startTemporal, type TemporalOptions, type TemporalServer } from '../../local/temporal-server';
import { leftBehind, processesOn } from '../fixtures/processes';

const servers: TemporalServer[] = [];
const start = async (options?: TemporalOptions): Promise<TemporalServer> => {
  const server = await startTemporal(options);
  servers.push(server);
  return server;
};

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
});

async function withClient<T>(server: TemporalServer, work: (client: Client) => Promise<T>): Promise<T> {
  const connection = await Connection.connect({ address: server.address });
  try {
    return await work(new Client({ connection }));
  } finally {
    await connection.close();
  }
}

/** A workflow that no worker serves: enough to see that the server takes and keeps it. */
const startWaiting = (server: TemporalServer, workflowId: string): Promise<unknown> =>
  withClient(server, (client) =>
    client.workflow.start('waiting', {
      workflowId,
      taskQueue: 'nobody',
      typedSearchAttributes: new TypedSearchAttributes([
        { key: defineSearchAttributeKey('MigrationPhase', 'KEYWORD'), value: 'preflight' },
      ]),
    }),
  );

const statusOf = (server: TemporalServer, workflowId: string): Promise<string> =>
  withClient(server, async (client) => (await client.workflow.getHandle(workflowId).describe()).status.name);

describe('a server in a folder of its own', () => {
  // One for all, in their order; the last stops it.
  let server: TemporalServer;
  beforeAll(async () => {
    // Settings that are meant for clients: it must not listen to them.
    process.env.TEMPORAL_ADDRESS = 'nowhere.invalid:1';
    process.env.TEMPORAL_NAMESPACE = 'elsewhere';
    try {
      server = await start();
    } finally {
      delete process.env.TEMPORAL_ADDRESS;
      delete process.env.TEMPORAL_NAMESPACE;
    }
  });

  it('serves workflows with our search attributes and the Web UI, whatever settings for clients there are', async () => {
    await startWaiting(server, 'first');
    expect(await statusOf(server, 'first')).toBe('RUNNING');
    const page = await fetch(server.uiUrl);
    expect(page.status).toBe(200);
  });

  it('says which port is taken instead of taking another than asked for', async () => {
    await expect(startTemporal({ port: server.port, headless: true, uiPort: server.port + 1 })).rejects.toThrow(
      `${server.port}`,
    );
  });

  it('keeps running workflows over a restart and over kill -9', async () => {
    await startWaiting(server, 'before the restart');
    await server.restart();
    await startWaiting(server, 'before the kill');
    server.kill();
    await server.restart();
    expect(await statusOf(server, 'before the restart')).toBe('RUNNING');
    expect(await statusOf(server, 'before the kill')).toBe('RUNNING');
  });

  it('leaves no process, no port and no folder behind when stopped', async () => {
    expect(processesOn(server.folder)).not.toEqual([]);
    await server.stop();
    expect(await leftBehind(server)).toEqual([]);
  });
});

it('keeps a given folder and finds its workflows again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kept-'));
  try {
    const first = await start({ folder, headless: true });
    await startWaiting(first, 'kept');
    await first.stop();
    const second = await start({ folder, headless: true });
    expect(await statusOf(second, 'kept')).toBe('RUNNING');
    await second.stop();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
