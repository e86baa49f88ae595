import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { startPostgres, type PostgresServer } from '../../local/postgres-server';
import { leftBehind, processesOn } from '../fixtures/processes';

const servers: PostgresServer[] = [];
const start = async (options: Parameters<typeof startPostgres>[0]): Promise<PostgresServer> => {
  const server = await startPostgres(options);
  servers.push(server);
  return server;
};

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
});

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe.each([15, 18] as const)('PostgreSQL %i', (major) => {
  // One server for all, in their order; the last stops it.
  let server: PostgresServer;
  beforeAll(async () => {
    server = await start({ major, settings: { max_replication_slots: '3' } });
  });

  it('serves as a source and target of logical replication, with nothing but loopback open', async () => {
    const url = await server.createDatabase('orders "2"');
    const [row] = await query(
      url,
      `select current_setting('server_version_num')::int / 10000 as major, current_setting('wal_level') as wal,
              current_setting('max_replication_slots') as slots, current_setting('listen_addresses') as listen,
              current_database() as name, current_user as role, pg_encoding_to_char(encoding) as encoding
         from pg_database where datname = current_database()`,
    );
    expect(row).toEqual({
      major,
      wal: 'logical',
      slots: '3',
      listen: '127.0.0.1',
      name: 'orders "2"',
      role: 'postgres',
      encoding: 'UTF8',
    });
  });

  it('asks for the password, and takes it from any role that was given it', async () => {
    await query(server.url(), `create role "app user" login password '${server.password}'`);
    expect(await query(server.url('postgres', 'app user'), 'select current_user as role')).toEqual([
      { role: 'app user' },
    ]);
    await expect(query(server.url().replace(server.password, 'wrong'), 'select 1')).rejects.toThrow('authentication');
  });

  it('keeps its data, port and settings over a restart and over kill -9 under load', async () => {
    await query(server.url(), 'create table kept as select 1 as id');
    await query(server.url(), `alter system set work_mem = '7MB'`);
    await server.restart();
    expect(
      await query(
        server.url(),
        `select id, current_setting('work_mem') as work, current_setting('max_replication_slots') as slots from kept`,
      ),
    ).toEqual([{ id: 1, work: '7MB', slots: '3' }]);
    const busy = query(server.url(), 'select count(*) from generate_series(1, 1000000000)').catch(() => 'ended');
    await query(server.url(), 'insert into kept values (2)');
    server.kill();
    await server.restart();
    expect(await busy).toBe('ended');
    expect(await query(server.url(), 'select count(*)::int as rows from kept')).toEqual([{ rows: 2 }]);
  });

  it('opens a given folder again, also after a crash whose process id another program has now, and takes no other port than asked for', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kept-'));
    try {
      const first = await start({ major, folder });
      await query(first.url(), 'create table kept as select 1 as id');
      first.kill();
      await first.stop();
      const pidFile = join(folder, 'data', 'postmaster.pid');
      const lines = (await readFile(pidFile, 'utf8')).split('\n');
      await writeFile(pidFile, [String(process.pid), ...lines.slice(1)].join('\n'));
      await expect(startPostgres({ major, folder, port: server.port })).rejects.toThrow(`${server.port}`);
      const second = await start({ major, folder });
      expect(await query(second.url(), 'select id from kept')).toEqual([{ id: 1 }]);
      await expect(startPostgres({ major, folder })).rejects.toThrow('already');
      await second.stop();
      expect(existsSync(folder)).toBe(true);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('leaves no process, no port and no folder behind when stopped', async () => {
    expect(processesOn(server.folder)).not.toEqual([]);
    await server.stop();
    expect(await leftBehind(server)).toEqual([]);
  });
});
