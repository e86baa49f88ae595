import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import type { PostgresDependencies } from '../../activities/dependencies';
import { failureType } from '../../activities/errors';
import { PostgresConnections } from '../../activities/postgres/connection';
import { createFenceActivities } from '../../activities/postgres/fence';
import { createLeftoverActivities } from '../../activities/postgres/leftovers';
import { createRetireActivities } from '../../activities/postgres/retire';
import type { PostgresScope } from '../../activities/postgres/scope';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';

let pair: PostgresPair;
let dependencies: PostgresDependencies & { environment: NodeJS.ProcessEnv };
const scope: PostgresScope = {
  migration: 'shop-to-18',
  source: { env: 'SOURCE' },
  target: { env: 'TARGET' },
  tables: { include: ['*.*'], exclude: [] },
};

beforeAll(async () => {
  pair = await startPair();
  await pair.source.createDatabase('shop');
  await pair.target.createDatabase('shop');
  const environment = {
    PATH: process.env.PATH,
    SOURCE: pair.source.url('shop'),
    TARGET: pair.target.url('shop'),
    AWAY: 'postgresql://postgres@127.0.0.1:1/shop',
  };
  const connections = new PostgresConnections(environment);
  dependencies = { connections, tools: {}, artifacts: createFileStore('file:///tmp/cutover-unused'), environment };
});
afterAll(() => pair.stop());

const activities = () => createRetireActivities(dependencies);
const drop = (given = scope, database = 'shop') => activities().dropSourceDatabase({ scope: given, database });
const refused = (work: Promise<unknown>) =>
  work.then(
    () => 'no failure',
    (error: unknown) => `${failureType(error)}: ${(error as Error).message}`,
  );
async function databases(): Promise<string[]> {
  const client = new Client({ connectionString: pair.source.url('postgres') });
  await client.connect();
  const { rows } = await client.query<{ datname: string }>('select datname from pg_database order by 1');
  await client.end();
  return rows.map(({ datname }) => datname);
}

describe('the database of the source is dropped', () => {
  it('never without its fence, under another name, when it is the target, or while the target does not answer', async () => {
    expect(await refused(drop())).toMatch(/PreconditionFailed: .*fence is not up/);
    expect(await refused(drop(scope, 'other'))).toMatch(/leads to the database shop by now, and other was approved/);
    expect(await refused(drop({ ...scope, target: scope.source }))).toMatch(
      /it is the target of this migration as well/,
    );
    expect(await refused(drop({ ...scope, target: { env: 'AWAY' } }))).toMatch(/^TargetUnavailable/);
    expect(await databases()).toContain('shop');
  });

  it('never while somebody is connected to it; then without a trace, and a second time is fine', async () => {
    const fences = createFenceActivities(dependencies);
    const former = await fences.inspectAccess({ scope, side: 'source' });
    await fences.raiseFence({ scope, side: 'source', former });
    const superuser = new Client({ connectionString: pair.source.url('shop'), application_name: 'report' });
    await superuser.connect();
    expect(await refused(drop())).toMatch(/PreconditionFailed: .* 1 sessions use it: pid \d+ of \w+ \(report\)/);
    await superuser.end();
    expect(await until(() => drop())).toEqual({ dropped: true });
    expect(await databases()).not.toContain('shop');
    expect(await drop()).toEqual({ dropped: false });
    const found = await createLeftoverActivities(dependencies).findLeftovers({
      scope,
      kept: { sourceFence: true },
      retired: 'dropped',
    });
    expect(found.filter(({ where }) => where === 'source')).toEqual([
      { kind: 'database', where: 'source', name: 'the source', state: 'gone', why: 'dropped, as the plan says' },
    ]);
  });
});

describe('the command of the plan', () => {
  const command = (script: string) =>
    activities().runRetireCommand({ scope, command: ['/bin/sh', '-c', script], timeout: '30s' });

  it('gets no connection string of the migration, and says what it printed', async () => {
    expect(await command('echo "stopped [$SOURCE$TARGET]"')).toEqual({ output: 'stopped []' });
  });

  it('that fails is told, with what to do', async () => {
    expect(await refused(command('echo no rights >&2; exit 3'))).toMatch(
      /PreconditionFailed: The command .*sh of the plan's retire ended with exit code 3: no rights/,
    );
  });

  it('may have taken the server away: the last look says so, and looks at the target all the same', async () => {
    const found = await createLeftoverActivities(dependencies).findLeftovers({
      scope: { ...scope, source: { env: 'AWAY' } },
      kept: {},
      retired: 'by-command',
    });
    expect(found[0]).toMatchObject({
      where: 'source',
      state: 'kept',
      why: expect.stringContaining('not looked at') as string,
    });
    expect(found.some(({ where }) => where === 'target')).toBe(true);
  });
});

/** A session that has just ended may still be there for a moment. */
async function until<Result>(work: () => Promise<Result>): Promise<Result> {
  const end = Date.now() + 60_000;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
