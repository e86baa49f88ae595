// The reaper on real servers and a real Temporal: what terminated migrations leave, beside what belongs to others. No worker runs: a workflow
// that nobody serves runs as far as Temporal is concerned.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { Client as Session } from 'pg';
import { createGuardActivities } from '../../activities/postgres/ddl/guard';
import { createFenceActivities } from '../../activities/postgres/fence';
import { createOrphanActivities } from '../../activities/postgres/stream/orphans';
import { migrationKey } from '../../activities/postgres/stream/names';
import { run } from '../../client/cli';
import type { ExitCode } from '../../client/context';
import { freePort } from '../../local/ports';
import { startTemporal, type TemporalServer } from '../../local/temporal-server';
import { guardianId } from '../../workflows/slot-guardian-messages';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { streamRig, type StreamRig } from '../fixtures/stream-rig';

let pair: PostgresPair;
let temporal: TemporalServer;
let connection: Connection;
let client: Client;
let rig: StreamRig;
let folder: string;

beforeAll(async () => {
  [pair, temporal] = await Promise.all([startPair(), startTemporal({ headless: true })]);
  connection = await Connection.connect({ address: temporal.address });
  client = new Client({ connection });
  folder = mkdtempSync(join(tmpdir(), 'cutover-reap-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await connection.close();
  await temporal.stop();
  await pair.stop();
});
afterEach(() => rig.end());

/** A migration that streams, with everything that one can have. */
async function streaming(): Promise<string> {
  rig = await streamRig(pair, 'create table "Or.ders" (id int primary key, note text)');
  const { scope, dependencies, source, target, activities } = rig;
  await rig.group(1, ['"Or.ders"']);
  await activities.subscribe({ scope, leg: 0 });
  await rig.prepare(1);
  await source.query('alter table "Or.ders" replica identity full');
  await target.query(
    `insert into cutover.replica_identity (side, schema_name, table_name, former) values ('source', 'public', 'Or.ders', 'default')`,
  );
  const fence = createFenceActivities(dependencies);
  const former = await fence.inspectAccess({ scope, side: 'target' });
  await target.query(`alter database ${rig.database} connection limit 50`);
  await fence.raiseFence({ scope, side: 'target', former: { ...former, connectionLimit: 50 } });
  await createGuardActivities(dependencies).guardDdl({ scope, on: true });
  return scope.migration;
}

function start(type: string, workflowId: string) {
  return client.workflow.start(type, { taskQueue: 'nobody', workflowId, args: [] });
}

/** Somebody else's migration, which runs, and has its streams on the same source. */
async function beside(): Promise<string[]> {
  const migration = `beside-${rig.database}`;
  await start('postgresMigration', migration);
  const name = `cutover_${migrationKey(migration)}_g1`;
  // As its worker would, which the other's guard lets pass.
  await rig.source.query(`set application_name = 'cutover prepare'`);
  await rig.source.query(`create publication ${name}; create publication cutover_shop`);
  await rig.source.query(`select pg_create_logical_replication_slot('${name}', 'pgoutput')`);
  await rig.source.query(`create table cutover.marker_${migrationKey(migration)}_g1 (id int)`);
  return [`marker_${migrationKey(migration)}_g1`, name, name];
}

async function reap(argv: string[] = [], environment: NodeJS.ProcessEnv = {}) {
  const plan = join(folder, `${rig.database}.json`);
  writeFileSync(
    plan,
    JSON.stringify({ name: 'shop', source: { env: 'SOURCE' }, target: { env: 'TARGET' }, strategy: 'cdc' }),
  );
  let out = '';
  let error = '';
  const code: ExitCode = await run(['reap', plan, ...argv], {
    out: (text) => void (out += text),
    error: (text) => void (error += text),
    environment: {
      TEMPORAL_CONFIG_FILE: '/nowhere/temporal.toml',
      TEMPORAL_ADDRESS: temporal.address,
      ...rig.environment,
      ...environment,
    },
    isTTY: false,
    columns: () => 200,
    rows: () => 24,
    interrupted: new AbortController().signal,
  });
  return { code, out, error };
}

/** The fence has ended the session of the rig. */
async function onTarget(sql: string): Promise<unknown[]> {
  const session = new Session({ connectionString: rig.environment.TARGET, application_name: 'cutover test' });
  await session.connect();
  try {
    return (await session.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await session.end();
  }
}

/** `side: kind name`, sorted. */
async function owned(): Promise<string[]> {
  const { scope, dependencies } = rig;
  const things = await createOrphanActivities(dependencies).findOwned({ databases: scope });
  return things.map(({ where, kind, name }) => `${where}: ${kind} ${name}`).sort();
}

async function kinds(): Promise<string[]> {
  return [...new Set((await owned()).map((line) => line.replace(/ (cutover|marker)_.*$/, '')))];
}

it('removes what a terminated migration has left, and nothing of one that runs beside it', async () => {
  const migration = await streaming();
  const others = await beside();
  await (await start('postgresMigration', migration)).terminate();
  const guardian = await start('slotGuardian', guardianId(migration));
  const before = await owned();
  expect(await kinds()).toEqual(
    expect.arrayContaining([
      ...['source: replication slot', 'source: publication', 'source: event trigger', 'source: function'],
      ...['source: marker table', 'source: replica identity public.Or.ders (was default)', 'target: subscription'],
      ...[
        'target: marker table',
        'target: publication',
        'target: ledger schema cutover',
        `target: fence ${rig.database}`,
      ],
    ]),
  );

  const dry = await reap(['--dry-run']);
  expect(dry.code).toBe(1);
  for (const line of before) {
    const [where, kind] = line.split(': ');
    const name = line.slice(line.lastIndexOf(' ') + 1);
    expect(dry.out).toMatch(new RegExp(`${where} .*${kind?.split(' ')[0]}.*${name.replaceAll(/[()]/g, '.')}`));
  }
  expect(dry.out).toContain(`The slot guardian ${guardianId(migration)} still runs and would be dismissed.`);
  expect(dry.out).toMatch(/fence .* is left: --lower-fences lowers it/);
  expect(await owned()).toEqual(before);

  // The schema of the ledger goes with all that is in it.
  const marker = `cutover.marker_${migrationKey(`beside-${rig.database}`)}_g1`;
  await onTarget(`set transaction_read_only = off; create table ${marker} ()`);
  const first = await reap();
  expect(first.code).toBe(1);
  expect(first.out).toMatch(/left: ledger of .*: marker_.*_g1 in it is of a migration that runs/);
  await onTarget(`set transaction_read_only = off; drop table ${marker}`);
  expect((await reap()).code).toBe(1);
  expect(first.out).toContain(`removed: replication slot cutover_${migrationKey(migration)}_g1 of the source`);
  const theirs = [`marker table ${others[0]}`, `publication ${others[1]}`, `replication slot ${others[2]}`];
  expect(await owned()).toEqual([...theirs.map((line) => `source: ${line}`), `target: fence ${rig.database}`].sort());
  const { rows } = await rig.source.query<{ identity: string; publications: string }>(
    `select relreplident as identity, (select string_agg(pubname, ',' order by pubname) from pg_publication) as publications from pg_class where relname = 'Or.ders'`,
  );
  expect(rows).toEqual([{ identity: 'd', publications: `${others[1]},cutover_shop` }]);
  const { events } = await guardian.fetchHistory();
  expect((events ?? []).map((event) => event.workflowExecutionSignaledEventAttributes?.signalName)).toContain(
    'dismiss',
  );

  const second = await reap(['--lower-fences']);
  expect(second).toMatchObject({ code: 0, error: '' });
  expect(await onTarget('select datconnlimit from pg_database where datname = current_database()')).toEqual([
    { datconnlimit: 50 },
  ]);
  const third = await reap(['--json']);
  expect(third.code).toBe(0);
  expect(JSON.parse(third.out)).toMatchObject({ removed: [], left: [], migrations: [{ workflow: 'running' }] });
});

it('removes nothing of a migration that runs, or that Temporal does not know, but what is named and does not run, also when Temporal cannot be asked', async () => {
  const migration = await streaming();
  const before = await owned();

  const unknown = await reap(['--lower-fences']);
  expect(unknown.code).toBe(1);
  expect(unknown.out).toContain(`is left: unknown to this Temporal: name it with --migration ${migration}`);
  const silent = { TEMPORAL_ADDRESS: `127.0.0.1:${await freePort()}` };
  const running = await start('postgresMigration', migration);
  expect(await reap(['--migration', migration, '--lower-fences'])).toMatchObject({ code: 0 });
  await running.terminate();
  const another = await reap(['--migration', 'another']);
  expect(another.code).toBe(1);
  expect(another.error).toContain('Nothing on the two databases is of another.');
  expect(await owned()).toEqual(before);

  const named = await reap(['--migration', migrationKey(migration), '--lower-fences'], silent);
  expect(named.code).toBe(0);
  expect(named.error).toContain('Without Temporal nothing is removed but what --migration names.');
  expect(await owned()).toEqual([]);
});

it('finds what is left by its key when the ledger is gone, since Temporal still knows the id', async () => {
  const migration = await streaming();
  await onTarget('set transaction_read_only = off; drop schema cutover cascade');
  await (await start('postgresMigration', migration)).terminate();
  const { code } = await reap(['--lower-fences']);
  expect(code).toBe(0);
  expect(await owned()).toEqual([]);
});

it.each([
  [
    'a plan of Calico',
    { name: 'c', source: { endpoints: ['http://127.0.0.1:1'] }, target: { kubeconfig: { env: 'K' } } },
    'is a Calico plan',
  ],
])('refuses %s', async (_what, plan, words) => {
  rig = await streamRig(pair, 'select');
  const file = join(folder, 'wrong.json');
  writeFileSync(file, JSON.stringify(plan));
  let error = '';
  const code = await run(['reap', file], {
    out: () => undefined,
    error: (text) => void (error += text),
    environment: {},
    isTTY: false,
    columns: () => 200,
    rows: () => 24,
    interrupted: new AbortController().signal,
  });
  expect([code, error]).toEqual([2, expect.stringContaining(words)]);
});
