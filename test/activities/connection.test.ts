import { Client } from 'pg';
import { PostgresConnections } from '../../activities/postgres/connection';
import { postgresFailure } from '../../activities/postgres/errors';
import { startPostgres, type PostgresServer } from '../../local/postgres-server';
import { until } from '../fixtures/until';

describe.each([15, 18] as const)('a session on PostgreSQL %i', (major) => {
  let server: PostgresServer;
  let admin: Client;
  let connections: PostgresConnections;
  const reference = { env: 'DATABASE' };
  const session = { side: 'source', purpose: 'looking' } as const;

  beforeAll(async () => {
    server = await startPostgres({ major });
    connections = new PostgresConnections({ DATABASE: server.url() });
    admin = new Client({ connectionString: server.url() });
    await admin.connect();
  });
  afterAll(async () => {
    await admin.end();
    await server.stop();
  });

  const ours = async (): Promise<number> =>
    (await admin.query(`select from pg_stat_activity where application_name = 'cutover looking'`)).rowCount ?? 0;

  it('has its own settings, whatever the database and the role carry', async () => {
    const carried = [
      "default_transaction_isolation = 'serializable'",
      'default_transaction_deferrable = on',
      'quote_all_identifiers = on',
      'array_nulls = off',
      "idle_session_timeout = '5s'",
      ...(major >= 17 ? ["transaction_timeout = '5s'"] : []),
    ];
    for (const setting of carried) await admin.query(`alter role postgres set ${setting}`);
    const { rows } = await connections.withSession(reference, session, (client) =>
      client.query<{ name: string; setting: string }>(
        `select name, setting from pg_settings
          where name ~ '^(default_transaction_(isolation|deferrable)|quote_all_identifiers|array_nulls|idle_session_timeout|transaction_timeout|client_connection_check_interval|tcp_keepalives_.*)$'`,
      ),
    );
    await admin.query('alter role postgres reset all');
    expect(Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))).toEqual({
      default_transaction_isolation: 'read committed',
      default_transaction_deferrable: 'off',
      quote_all_identifiers: 'off',
      array_nulls: 'on',
      idle_session_timeout: '0',
      client_connection_check_interval: '10000',
      tcp_keepalives_idle: '30',
      tcp_keepalives_interval: '10',
      tcp_keepalives_count: '3',
      ...(major >= 17 ? { transaction_timeout: '0' } : {}),
    });
  });

  it('that was opened ahead is taken by who asks for it, with the name and the settings of its work', async () => {
    const pidOf = async (client: Client): Promise<unknown> =>
      (await client.query<{ pid: string }>('select pg_backend_pid()::text as pid')).rows[0]?.pid;
    const waiting = async (): Promise<unknown[]> =>
      (
        await admin.query<{ pid: string }>(
          `select pid::text from pg_stat_activity where application_name = 'cutover waiting'`,
        )
      ).rows.map(({ pid }) => pid);
    await connections.openAhead(reference, 'source', 2);
    const there = await waiting();
    expect(there).toHaveLength(2);
    await connections.openAhead(reference, 'source', 2);
    expect(await waiting()).toHaveLength(2);
    await connections.withSession(reference, session, async (client) =>
      expect(there).not.toContain(await pidOf(client)),
    );
    const asked = { ...session, ahead: true, settings: { statement_timeout: '7s' } };
    await connections.withSession(reference, asked, async (client) => {
      expect(there).toContain(await pidOf(client));
      const { rows } = await client.query(
        `select current_setting('statement_timeout') as timeout, current_setting('application_name') as name, current_setting('TimeZone') as zone`,
      );
      expect(rows).toEqual([{ timeout: '7s', name: 'cutover looking', zone: 'UTC' }]);
    });
    // The other one is lost while it waits.
    await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cutover waiting'`,
    );
    await connections.withSession(reference, asked, async (client) => expect(there).not.toContain(await pidOf(client)));
    await connections.openAhead(reference, 'source', 1);
    await connections.endWaiting(reference);
    await until('none waits', async () => (await waiting()).length === 0);
  });

  it('that is given up while it connects is not handed over, and ends', async () => {
    const control = new AbortController();
    const opening = connections.open(reference, { ...session, signal: control.signal });
    // The reference is resolved in this turn; connecting takes many.
    setImmediate(() => control.abort(new Error('given up')));
    await expect(opening).rejects.toThrow('given up');
    await until('its backend is gone', async () => (await ours()) === 0);
  });

  const said = async (sql: string): Promise<string> => {
    const error: unknown = await admin.query(sql).catch((thrown: unknown) => thrown);
    return postgresFailure(error, 'target', 'Trying').message;
  };

  it('tells a data error without the value, in any form', async () => {
    await admin.query(`create table refusing (a smallint unique, b varchar(3)); insert into refusing values (7, 'x')`);
    for (const sql of [
      `select '4711'::text::int2 + '34711'::text::int2`,
      `select 'se4711cret'::text::int`,
      `insert into refusing values (4711 * 10, 'a')`,
      `select 'x: "4711'::text::jsonb`,
      `select convert_from('\\x4711ff', 'UTF8')`,
      `do $$ begin raise exception 'customer 4711' using errcode = '22023', hint = 'ask 4711', detail = '4711'; end $$`,
    ]) {
      const message = await said(sql);
      expect(message).toContain('SQLSTATE 22');
      expect(message).not.toContain('4711');
    }
    expect(await said(`insert into refusing values (7, 'y')`)).not.toContain('(7)');
  });

  it('tells in which function an error happened', async () => {
    await admin.query(
      `create function public.broken() returns int language plpgsql as $$ begin return (select 1 from missing); end $$`,
    );
    expect(await said('select public.broken()')).toMatch(
      /relation "missing" does not exist · in PL\/pgSQL function broken\(\) line 1 at RETURN \(SQLSTATE 42P01\)/,
    );
  });
});
