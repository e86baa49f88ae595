import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client } from 'pg';
import { createFileStore } from '../../activities/artifacts/file-store';
import { PostgresConnections } from '../../activities/postgres/connection';
import type { PostgresDependencies } from '../../activities/dependencies';
import { createPreflightActivities, type PreflightInput } from '../../activities/postgres/preflight';
import { carriedApartChecks } from '../../activities/postgres/preflight/carried-apart';
import { runChecks } from '../../activities/postgres/preflight/check';
import { CheckContext } from '../../activities/postgres/preflight/context';
import { keyChecks } from '../../activities/postgres/preflight/keys';
import { objectChecks } from '../../activities/postgres/preflight/objects';
import { replicationChecks } from '../../activities/postgres/preflight/replication';
import { judgeVersions } from '../../activities/postgres/preflight/replication-servers';
import { selectionChecks } from '../../activities/postgres/preflight/selection';
import { ensureMarker } from '../../activities/postgres/stream/marker';
import { groupStream } from '../../activities/postgres/stream/names';
import type { Check } from '../../journal/types';
import { startPostgres, type PostgresServer } from '../../local/postgres-server';
import { parsePostgresPlan } from '../../plan/parse';
import type { PostgresPlanInput } from '../../plan/postgres';
import { locateClientTools } from '../../worker/client-tools';
import { until } from '../fixtures/until';

const settings = { max_prepared_transactions: '5' };
/** Nothing that streams need. */
const poorly = {
  wal_level: 'replica',
  max_wal_senders: '0',
  max_replication_slots: '0',
  max_active_replication_origins: '0',
  max_logical_replication_workers: '0',
  max_slot_wal_keep_size: '64MB',
  idle_replication_slot_timeout: '60s',
  wal_sender_timeout: '1s',
};

let fifteen: PostgresServer;
let eighteen: PostgresServer;
let other: PostgresServer;
let folder: string;
let number = 0;
let source: PostgresServer;
let database: string;
let onSource: Client;
let onTarget: Client;
const open: Client[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cutover-cdc-preflight-'));
  [fifteen, eighteen, other] = await Promise.all([
    startPostgres({ major: 15, settings }),
    startPostgres({ major: 18, settings }),
    startPostgres({ major: 18, settings }),
  ]);
});
beforeEach(() => begin(fifteen));
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.end()));
});
afterAll(async () => {
  await Promise.all([fifteen, eighteen, other].map((server) => server.stop()));
  await rm(folder, { recursive: true, force: true });
});

async function begin(from: PostgresServer): Promise<void> {
  source = from;
  database = `shop ${++number}`;
  onSource = await connect(await source.createDatabase(database));
  onTarget = await connect(await eighteen.createDatabase(database));
  await onSource.query('create table public.orders (id int primary key, customer int, note text)');
}

async function connect(url: string): Promise<Client> {
  const client = new Client({ connectionString: url, application_name: 'shop' });
  client.on('error', () => undefined);
  await client.connect();
  open.push(client);
  return client;
}

interface Way {
  plan?: Partial<PostgresPlanInput>;
  environment?: Record<string, string>;
}

async function asked({ plan: wanted, environment }: Way): Promise<[PreflightInput, PostgresDependencies]> {
  const parsed = parsePostgresPlan({
    name: 'shop',
    strategy: 'cdc',
    source: { env: 'SOURCE' },
    target: { env: 'TARGET' },
    ...wanted,
  });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
  const { plan } = parsed;
  const { sourceFromTarget, targetFromSource } = plan.cdc;
  return [
    {
      scope: {
        migration: 'shop',
        source: plan.source,
        target: plan.target,
        tables: plan.tables,
        links: { ...(sourceFromTarget && { sourceFromTarget }), ...(targetFromSource && { targetFromSource }) },
      },
      strategy: plan.strategy,
      roles: plan.roles,
      waivers: plan.waivers,
      snapshot: plan.snapshot,
      validation: plan.validation,
      cdc: plan.cdc,
      reverseReplication: plan.reverseReplication,
    },
    {
      connections: new PostgresConnections({
        SOURCE: source.url(database),
        TARGET: eighteen.url(database),
        ...environment,
      }),
      artifacts: createFileStore(pathToFileURL(folder).href),
      tools: await locateClientTools(process.env),
    },
  ];
}

/** All of it, as a migration has it looked at. */
async function preflight(way: Way = {}): Promise<Check[]> {
  const [input, dependencies] = await asked(way);
  return (await createPreflightActivities(dependencies).preflight(input)).checks;
}

const besides = [...keyChecks, ...carriedApartChecks, ...selectionChecks, ...objectChecks];

/** Only the named checks, in the context that all have. */
async function look(wanted: string[], way: Way = {}): Promise<Check[]> {
  const [input, dependencies] = await asked(way);
  const context = new CheckContext(input, dependencies, new AbortController().signal);
  try {
    await context.connect();
    const checks = [...replicationChecks, ...besides].filter(({ name }) => wanted.includes(name));
    return await runChecks(checks, context, input.waivers);
  } finally {
    await context.end();
  }
}

function find(checks: Check[], name: string): Check {
  const found = checks.find((one) => one.name === name);
  if (!found) throw new Error(`no check ${name}`);
  return found;
}

const check = async (name: string, way: Way = {}): Promise<Check> => find(await look([name], way), name);

const ofOutcome = (checks: Check[], outcome: Check['outcome']): string[] =>
  checks.filter((one) => one.outcome === outcome).map(({ name }) => name);

const names = replicationChecks.map(({ name }) => name);

/** Runs the fix as printed, line by line up to where a remark begins. */
async function applyFix(client: Client, { fix }: Check): Promise<void> {
  for (const line of (fix ?? '').split('\n'))
    for (const statement of line.split(' --')[0]?.split(/;\s*/) ?? []) if (statement) await client.query(statement);
}

const tracesSql = `
select 'slot' as kind, slot_name::text as name from pg_replication_slots union all select 'origin', roname from pg_replication_origin
union all select 'subscription', subname from pg_subscription union all select 'publication', pubname from pg_publication
union all select 'schema', nspname from pg_namespace where nspname = 'cutover' union all select 'event trigger', evtname from pg_event_trigger`;

describe('a healthy pair', () => {
  it.each([
    ['15 to 18', () => fifteen],
    ['18 to 18', () => other],
  ])('%s passes every check of CDC, and has no trace of it afterwards', async (_, from) => {
    if (from() !== source) await begin(from());
    const checks = await preflight();
    // The client tools of this machine may be older than the source.
    expect(ofOutcome(checks, 'fail').filter((name) => name !== 'client-tools')).toEqual([]);
    expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length);
    const streaming = checks.filter(({ name }) => names.includes(name));
    expect(streaming.map(({ name }) => name)).toEqual(names);
    // The sessions of this test are those of superusers.
    expect(streaming.filter(({ outcome }) => outcome !== 'pass').map(({ name }) => name)).toEqual([
      'target-superusers',
    ]);
    expect(find(checks, 'target-superusers').found).toContain('our own role, in 1 sessions');
    expect(find(checks, 'link-to-target').found).toContain('as a replication client');
    expect((await onSource.query(tracesSql)).rows).toEqual([]);
    expect((await onTarget.query(tracesSql)).rows).toEqual([]);
  });

  it('is not asked for streams by another strategy', async () => {
    await onSource.query('create table public.keyless (doc json); select lo_create(0)');
    const checks = await preflight({ plan: { strategy: 'big-bang' } });
    expect(checks.filter(({ name }) => names.includes(name))).toEqual([]);
    expect(ofOutcome(checks, 'fail')).toEqual([]);
    expect(find(checks, 'tables-without-key').outcome).toBe('warn');
    expect(find(checks, 'large-objects').outcome).toBe('pass');
  });

  it('of versions too old is refused, whatever the plan accepts', () => {
    const [old, young] = [
      { version: '12.22', major: 12 },
      { version: '18.4', major: 18 },
    ];
    expect(judgeVersions(old, young)).toMatchObject({
      outcome: 'fail',
      fix: expect.stringContaining('big-bang') as string,
    });
    expect(judgeVersions(young, young)).toMatchObject({ outcome: 'pass' });
    expect(replicationChecks.find(({ name }) => name === 'replication-versions')?.waivable).toBe(false);
  });
});

describe('servers that cannot stream', () => {
  const wayForward = ['wal-level', 'free-slots', 'apply-workers', 'wal-retention', 'replication-timeouts'];
  const wayBack = ['target-wal-level', 'target-free-slots', 'source-apply-workers', 'target-wal-retention'];

  it('are told every setting that they lack, and those are enough', async () => {
    const url = await other.createDatabase('poor source');
    const system = await connect(url);
    for (const [name, value] of Object.entries(poorly)) await system.query(`alter system set ${name} = '${value}'`);
    await other.restart();
    const environment = { SOURCE: url, TARGET: await other.createDatabase('poor target') };
    const all = [...wayForward, ...wayBack];
    const forward = await look(all, { environment, plan: { reverseReplication: false } });
    expect(ofOutcome(forward, 'fail')).toEqual(
      expect.arrayContaining(['wal-level', 'free-slots', 'apply-workers', 'wal-retention']),
    );
    expect(find(forward, 'replication-timeouts').outcome).toBe('warn');
    for (const name of wayBack)
      expect(find(forward, name)).toMatchObject({
        outcome: 'pass',
        found: expect.stringContaining('not needed') as string,
      });

    const checks = await look(all, { environment });
    expect(ofOutcome(checks, 'fail')).toEqual(expect.arrayContaining(wayBack));
    const client = await connect(url);
    for (const name of all) await applyFix(client, find(checks, name));
    await other.restart();
    const mended = await look(all, { environment });
    expect(mended.filter(({ outcome }) => outcome !== 'pass')).toEqual([]);
  });

  it('are told when the plan asks for more WAL than they keep', async () => {
    await onSource.query(`alter system set max_slot_wal_keep_size = '2GB'`);
    await onSource.query('select pg_reload_conf()');
    try {
      const plan = { cdc: { walBudgetMegabytes: 4_096 } };
      const found = await check('wal-retention', { plan });
      expect(found).toMatchObject({
        outcome: 'fail',
        found: expect.stringContaining('the server ends slots at') as string,
      });
      await applyFix(onSource, found);
      expect(await check('wal-retention', { plan })).toMatchObject({ outcome: 'pass' });
    } finally {
      await onSource.query('alter system reset max_slot_wal_keep_size');
      await onSource.query('select pg_reload_conf()');
    }
  });

  it('are told who would keep a slot waiting, in whatever database', async () => {
    const elsewhere = await connect(await fifteen.createDatabase(`elsewhere ${number}`));
    await elsewhere.query('create table t (a int)');
    await elsewhere.query(`begin; insert into t values (1); prepare transaction 'two''s'`);
    const idle = await connect(fifteen.url(`elsewhere ${number}`));
    await idle.query('begin; insert into t values (2)');
    let found = await check('slot-blockers');
    expect(found).toMatchObject({
      outcome: 'warn',
      found: expect.stringContaining(`prepared transaction two's in database elsewhere`) as string,
    });
    await until('the idle session is found', async () =>
      (found = await check('slot-blockers')).found.includes('idle in transaction'),
    );
    const stranger = await connect(fifteen.url(`elsewhere ${number}`));
    await applyFix(stranger, found);
    await until('nobody is in the way', async () => (await check('slot-blockers')).outcome === 'pass');
  });
});

describe('links', () => {
  const linked = ['replication-connection', 'link-to-source', 'link-to-target'];

  it('that do not exist are found from where the stream will begin, without a secret', async () => {
    const nowhere = 'postgresql://postgres:hidden-secret@127.0.0.1:1/none';
    const wrong = source.url(database).replace(/:[^:@/]*@/, ':hidden-secret@');
    const checks = await look(linked, {
      plan: { cdc: { sourceFromTarget: { env: 'FROM_TARGET' }, targetFromSource: { env: 'FROM_SOURCE' } } },
      environment: { FROM_TARGET: nowhere, FROM_SOURCE: wrong.replace(`:${source.port}`, `:${eighteen.port}`) },
    });
    expect(find(checks, 'replication-connection').outcome).toBe('pass');
    expect(find(checks, 'link-to-source')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('FROM_TARGET') as string,
      fix: expect.stringMatching(/^pg_isready -h 127\.0\.0\.1 -p 1 .*cdc\.sourceFromTarget/) as string,
    });
    expect(find(checks, 'link-to-target')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('password authentication failed') as string,
      fix: expect.stringContaining('FROM_SOURCE') as string,
    });
    expect(JSON.stringify(checks)).not.toContain('hidden-secret');
    expect((await onSource.query(tracesSql)).rows).toEqual([]);
    expect((await onTarget.query(tracesSql)).rows).toEqual([]);
  });

  it('need a role that may replicate; the fix makes it one', async () => {
    const role = `streamer ${number}`;
    await onSource.query(
      `create role "${role}" login password '${source.password}'; grant pg_read_all_data, pg_read_all_stats to "${role}"`,
    );
    const environment = { SOURCE: source.url(database, role) };
    const checks = await look(linked, { environment });
    for (const name of ['replication-connection', 'link-to-source']) expect(find(checks, name).outcome).toBe('fail');
    await applyFix(onSource, find(checks, 'link-to-source'));
    const mended = await look(linked, { environment });
    for (const name of ['replication-connection', 'link-to-source']) expect(find(mended, name).outcome).toBe('pass');
  });
});

describe('a role without rights', () => {
  it('is told every grant for streams either way on 18, and these are enough', async () => {
    await begin(other);
    await onSource.query('create role shopkeeper; alter table public.orders owner to shopkeeper');
    const role = `low ${number}`;
    for (const [server, client] of [
      [other, onSource],
      [eighteen, onTarget],
    ] as const)
      await client.query(`create role "${role}" login password '${server.password}'`);
    const way = {
      environment: { SOURCE: other.url(database, role), TARGET: eighteen.url(database, role) },
      plan: { cdc: { ddl: 'refuse' as const } },
    };
    const asked = [
      'publisher-role',
      'target-publisher-role',
      'subscriber-role',
      'source-subscriber-role',
      'target-fence',
    ];
    const checks = await look(names, way);
    expect(ofOutcome(checks, 'fail')).toEqual(expect.arrayContaining([...asked, 'ddl-guard']));
    expect(find(checks, 'link-to-target')).toMatchObject({
      outcome: 'warn',
      found: expect.stringContaining('not tried') as string,
    });
    for (const name of asked) {
      const found = find(checks, name);
      await applyFix(found.side === 'target' ? onTarget : onSource, found);
    }
    const mended = await look(names, way);
    expect(asked.map((name) => find(mended, name)).filter(({ outcome }) => outcome !== 'pass')).toEqual([]);
    for (const name of ['link-to-source', 'link-to-target'])
      expect(find(mended, name)).toMatchObject({ outcome: 'pass' });
    expect(find(mended, 'ddl-guard').fix).toContain('SUPERUSER');
  });

  it('cannot subscribe on 15, unless it is a superuser or the way back is given up', async () => {
    const role = `low ${number}`;
    await onSource.query(`create role "${role}" login password '${source.password}'`);
    const environment = { SOURCE: source.url(database, role) };
    expect(await check('source-subscriber-role', { environment })).toMatchObject({
      outcome: 'fail',
      fix: `ALTER ROLE "${role}" SUPERUSER; -- or set reverseReplication to false in the plan, which gives the lossless rollback up`,
    });
    const plan = { reverseReplication: false };
    expect(await check('source-subscriber-role', { environment, plan })).toMatchObject({ outcome: 'pass' });
  });
});

describe('tables', () => {
  it('without a key are refused, or streamed whole where the plan says so and their columns can be compared', async () => {
    await onSource.query(`create domain public.doc as json; create table public.keyless (a int, b text); create table public."Bad one" (a int, docs public.doc[], place point, ok jsonb);
      create unlogged table public.fleeting (a int)`);
    const full = { cdc: { tablesWithoutKey: 'full' as const } };
    const refused = await check('tables-without-key');
    expect(refused).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('public.Bad one, public.keyless') as string,
    });
    expect(refused.found).not.toContain('fleeting');
    const incomparable = await check('tables-without-key', { plan: full });
    expect(incomparable).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('public.Bad one (docs json, place point)') as string,
    });
    expect(incomparable.found).not.toContain('keyless (');
    await applyFix(onSource, { ...incomparable, fix: incomparable.fix?.replace('…', 'a') });
    expect(await check('tables-without-key', { plan: full })).toMatchObject({
      outcome: 'warn',
      found: expect.stringContaining('public.keyless') as string,
    });
    expect((await check('replica-identities', { plan: full })).found).toContain('public.keyless (FULL)');
    await applyFix(onSource, { ...refused, fix: 'ALTER TABLE "public"."keyless" REPLICA IDENTITY FULL;' });
    expect((await check('tables-without-key')).outcome).toBe('warn');
  });

  it('whose identity must change for the time are named', async () => {
    await onSource.query(`
      create table public.unique_one (a int not null unique, b text); create table public.nothing (a int primary key);
      alter table public.nothing replica identity nothing; create table public.late (a int primary key deferrable)`);
    const found = await check('replica-identities');
    expect(found).toMatchObject({ outcome: 'warn' });
    expect(found.found).toContain('public.nothing (DEFAULT), public.unique_one (USING INDEX over a)');
    expect(found.found).not.toContain('orders');
    expect((await check('tables-without-key')).found).toContain('public.late');
  });

  it('with a generated key are refused until another identity is chosen', async () => {
    await onSource.query(
      'create table public.made (a int not null, b int generated always as (a * 2) stored primary key, c text)',
    );
    const found = await check('generated-keys');
    expect(found).toMatchObject({ outcome: 'fail', found: 'the key of public.made has the generated b' });
    await applyFix(onSource, { ...found, fix: found.fix?.replace('…', 'a') });
    expect(await check('generated-keys')).toMatchObject({ outcome: 'pass' });
    await onSource.query('create table public.loose (a int, b int generated always as (a * 2) stored)');
    expect(await check('generated-keys', { plan: { cdc: { tablesWithoutKey: 'full' } } })).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('public.loose is told apart by all') as string,
    });
    await onSource.query(`drop table public.loose; create table public.whole (a int primary key, b int generated always as (a * 2) stored);
      alter table public.whole replica identity full`);
    const whole = await check('generated-keys');
    expect(whole).toMatchObject({ outcome: 'fail', fix: 'ALTER TABLE "public"."whole" REPLICA IDENTITY DEFAULT;' });
    await applyFix(onSource, whole);
    expect(await check('generated-keys')).toMatchObject({ outcome: 'pass' });
  });

  it('with triggers that fire again are refused, and may be waived', async () => {
    await onSource.query(`create function public.count() returns trigger language plpgsql as 'begin return new; end';
      create trigger "Twice" after insert on public.orders for each row execute function public.count();
      create trigger once after insert on public.orders for each row execute function public.count();
      alter table public.orders enable always trigger "Twice"`);
    const found = await check('apply-triggers');
    expect(found).toMatchObject({ outcome: 'fail', found: 'Twice of public.orders (ENABLE ALWAYS)' });
    expect(await check('apply-triggers', { plan: { waivers: { 'apply-triggers': 'it only logs' } } })).toMatchObject({
      outcome: 'warn',
      waived: 'it only logs',
    });
    await applyFix(onSource, found);
    expect(await check('apply-triggers')).toMatchObject({ outcome: 'pass' });
  });

  it('that are partitioned, unlogged or hold large objects are told as what they mean for the freeze', async () => {
    await onSource.query(`create table public.days (at date) partition by range (at); create table public.d1 partition of public.days for values from ('2025-01-01') to ('2026-01-01');
      alter table public.d1 add primary key (at); create unlogged table public.fleeting (a int); insert into public.fleeting select generate_series(1, 10000); select lo_create(0)`);
    const checks = await look(['partitions', 'unlogged-tables', 'large-objects']);
    expect(find(checks, 'partitions')).toMatchObject({
      outcome: 'pass',
      found: expect.stringContaining('1 partition of public.days') as string,
    });
    expect(find(checks, 'unlogged-tables')).toMatchObject({
      outcome: 'warn',
      found: expect.stringMatching(/in the freeze .*public\.fleeting \(\d+ kB\)/) as string,
    });
    expect(find(checks, 'large-objects')).toMatchObject({
      outcome: 'fail',
      fix: expect.stringContaining('copy-under-fence') as string,
    });
    const plan = { reverseReplication: false, cdc: { largeObjects: 'copy-under-fence' as const } };
    expect(await check('large-objects', { plan })).toMatchObject({
      outcome: 'pass',
      found: expect.stringContaining('in the freeze') as string,
    });
    await applyFix(onSource, find(checks, 'unlogged-tables'));
    expect(await check('unlogged-tables')).toMatchObject({ outcome: 'pass' });
  });
});

describe('others', () => {
  it('who read all tables would be sent our markers', async () => {
    await onSource.query('create publication "All" for all tables');
    expect(await check('publications-for-all')).toMatchObject({ outcome: 'warn' });
    await onSource.query(`select pg_create_logical_replication_slot('warehouse', 'pgoutput')`);
    try {
      const checks = await look(['publications-for-all', 'replication-slots']);
      expect(find(checks, 'publications-for-all')).toMatchObject({
        outcome: 'fail',
        found: expect.stringContaining('slots of readers: warehouse') as string,
      });
      expect(find(checks, 'replication-slots').found).toContain('warehouse');
      await applyFix(onSource, find(checks, 'publications-for-all'));
      await onSource.query('drop publication "All"');
      expect(await check('publications-for-all')).toMatchObject({ outcome: 'pass' });
    } finally {
      await onSource.query(`select pg_drop_replication_slot('warehouse')`);
    }
  });

  it('may have left streams: those of our own name are refused, others named; markers are no schema of the application', async () => {
    await onSource.query(`create publication cutover_0123456789_g1`);
    const named = await check('replication-leftovers');
    expect(named).toMatchObject({
      outcome: 'warn',
      found: expect.stringContaining('publication cutover_0123456789_g1 on the source') as string,
      fix: expect.stringContaining('cutover reap') as string,
    });
    const { name } = groupStream('shop', 1);
    await onTarget.query(
      `create subscription ${name} connection 'host=127.0.0.1 port=1' publication p with (connect = false)`,
    );
    expect(await check('replication-leftovers')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining(`subscription ${name} on the target`) as string,
    });
    await onTarget.query(`alter subscription ${name} set (slot_name = none); drop subscription ${name}`);
    await ensureMarker(onSource, groupStream('another', 1));
    const checks = await preflight();
    expect(find(checks, 'schema-name-free')).toMatchObject({
      outcome: 'warn',
      fix: expect.stringContaining('cutover reap') as string,
    });
    expect(ofOutcome(checks, 'fail')).toEqual([]);
  });

  it('may hold the target behind their fence', async () => {
    const former = {
      database,
      mechanism: 'connection-limit',
      connectionLimit: -1,
      settings: [],
      grants: [],
      comment: null,
    };
    const mark = (migration: string): string =>
      JSON.stringify({ migration, raisedAt: '2026-01-01T00:00:00.000Z', former });
    await onTarget.query(`alter database "${database}" set cutover.fence = '${mark('theirs')}'`);
    expect(await check('target-open')).toMatchObject({
      outcome: 'fail',
      found: expect.stringContaining('"theirs"') as string,
    });
    await onTarget.query(`alter database "${database}" set cutover.fence = '${mark('shop')}'`);
    expect(await check('target-open')).toMatchObject({ outcome: 'pass' });
  });

  it('may have another encoding, which the way back must bear', async () => {
    const client = await connect(fifteen.url());
    await client.query(`create database "latin ${number}" encoding 'LATIN1' locale 'C' template template0`);
    const environment = { SOURCE: fifteen.url(`latin ${number}`) };
    expect(await check('way-back-encoding', { environment })).toMatchObject({
      outcome: 'warn',
      found: expect.stringContaining('LATIN1') as string,
    });
  });
});
