import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Etcd3 } from 'etcd3';
import { startEtcd, type EtcdOptions, type EtcdServer } from '../../local/etcd-server';
import { leftBehind, processesOn } from '../fixtures/processes';

const servers: EtcdServer[] = [];
const clients: Etcd3[] = [];
const start = async (options?: EtcdOptions): Promise<EtcdServer> => {
  const server = await startEtcd(options);
  servers.push(server);
  return server;
};
const clientOf = (server: EtcdServer): Etcd3 => {
  const client = new Etcd3({ hosts: server.endpoint });
  clients.push(client);
  return client;
};

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

it('takes writes as soon as it is said to be started', async () => {
  const client = clientOf(await start());
  await client.put('/calico/resources/v3/a').value('1');
  expect(await client.get('/calico/resources/v3/a').string()).toBe('1');
});

it('keeps its data, revisions and port over a restart and over kill -9', async () => {
  const server = await start();
  const { header } = await clientOf(server).put('a').value('before the restart');
  await server.restart();
  expect(Number((await clientOf(server).put('b').value('before the kill')).header.revision)).toBe(
    Number(header.revision) + 1,
  );
  server.kill();
  await server.restart();
  expect(await clientOf(server).getAll().strings()).toEqual({ a: 'before the restart', b: 'before the kill' });
});

it('runs beside another without sharing anything with it', async () => {
  const [one, other] = await Promise.all([start(), start()]);
  await clientOf(one).put('a').value('1');
  expect(await clientOf(other).getAll().count()).toBe(0);
  expect(one.folder).not.toBe(other.folder);
});

it('leaves no process, no port and no folder behind when stopped', async () => {
  const server = await start();
  expect(processesOn(server.folder)).not.toEqual([]);
  expect(server.running()).toBe(true);
  await server.stop();
  expect(server.running()).toBe(false);
  expect(await leftBehind(server)).toEqual([]);
});

it('keeps a given folder and finds its data again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kept-'));
  try {
    const first = await start({ folder });
    await clientOf(first).put('a').value('kept');
    await first.stop();
    expect((await readdir(folder)).sort()).toEqual(['data', 'etcd.log']);
    expect(
      await clientOf(await start({ folder }))
        .get('a')
        .string(),
    ).toBe('kept');
  } finally {
    await Promise.all(servers.splice(0).map((server) => server.stop()));
    await rm(folder, { recursive: true, force: true });
  }
});

it('says which port is taken instead of taking another than asked for', async () => {
  const server = await start();
  await expect(startEtcd({ port: server.port })).rejects.toThrow(`${server.port}`);
});

it('that cannot start says why, with the end of its log, and leaves no folder behind', async () => {
  const temporary = await mkdtemp(join(tmpdir(), 'refused-'));
  const before = process.env.TMPDIR;
  process.env.TMPDIR = temporary;
  try {
    const starting = startEtcd({ extraArguments: ['--data-dir', '/dev/null'] });
    await expect(starting).rejects.toThrow(/did not start.*End of its log.*not a directory/s);
    expect(await readdir(temporary)).toEqual([]);
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    await rm(temporary, { recursive: true, force: true });
  }
});

it('does not listen to settings that are meant for servers and clients of somebody else', async () => {
  process.env.ETCD_DATA_DIR = '/nowhere';
  process.env.ETCDCTL_ENDPOINTS = 'http://nowhere.invalid:1';
  try {
    await clientOf(await start())
      .put('a')
      .value('1');
  } finally {
    delete process.env.ETCD_DATA_DIR;
    delete process.env.ETCDCTL_ENDPOINTS;
  }
});
