import type { Client } from 'pg';
import { PostgresConnections } from '../../activities/postgres/connection';
import { withOnlooker } from '../../activities/heartbeat';
import { failureType } from '../../activities/errors';
import { valueSettings } from '../../activities/postgres/copy/copy-format';
import { createMovingActivities } from '../../activities/postgres/moving';
import { compareBatch, type MovingResult } from '../../activities/postgres/moving/batch';
import { comparePending, planPending, readPending } from '../../activities/postgres/moving/pending';
import type { PassOptions } from '../../activities/postgres/moving/pass';
import { MovingSessions } from '../../activities/postgres/moving/sessions';
import { listSubjects, type Subject } from '../../activities/postgres/moving/subjects';
import { writingSide, type Leg } from '../../activities/postgres/stream/names';
import { streamsOf } from '../../activities/postgres/stream/streams-of';
import { failureOf } from '../fixtures/failure-of';
import { movingRig, movingTables, type Application, type MovingRig } from '../fixtures/moving-rig';
import { plainStream } from '../fixtures/plain-stream';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { until } from '../fixtures/until';

/** Every type that can be a key, with two values at its edges. */
const keyTypes: [type: string, standing: string, planted: string][] = [
  ['smallint', '1', '-32768'],
  ['bigint', '1', '-9223372036854775808'],
  ['numeric', `'NaN'`, '1.10'],
  ['numeric(10,2)', '0', '-0.01'],
  ['float4', '1', `'-Infinity'`],
  ['float8', `'NaN'`, `'-0'`],
  ['boolean', 'true', 'false'],
  ['text', `''`, `E'a"b\\\\c\\n,''{}é'`],
  ['text collate public.any_case', `'a'`, `'Straße'`],
  ['varchar(20)', `'x'`, `'with blank '`],
  ['char(8)', `'x'`, `'ab '`],
  ['name', `'x'`, `'y z'`],
  ['"char"', `'a'`, `'"'`],
  ['bytea', `''`, `'\\x00ff5c'`],
  ['date', `'infinity'`, `'4713-01-01 BC'`],
  ['timestamptz', `'-infinity'`, `'2038-01-19 03:14:07.000001+00'`],
  ['timetz', `'12:00'`, `'23:59:59.999999-15:59'`],
  ['interval', `'1 mon'`, `'-1 mons +3 days -04:05:06.789012'`],
  ['uuid', 'gen_random_uuid()', `'ffffffff-ffff-ffff-ffff-ffffffffffff'`],
  ['inet', `'::1/64'`, `'0.0.0.0/0'`],
  ['macaddr8', `'08:00:2b:ff:fe:01:02:03'`, `'ff:ff:ff:ff:ff:ff:ff:ff'`],
  ['bit(5)', `'10101'`, `'00000'`],
  ['varbit', `''`, `'101'`],
  ['money', '1', `'-92233720368547758.08'`],
  ['jsonb', `'{}'`, `'{"a": [1.00, "é"]}'`],
  ['int4range', `'empty'`, `'(,5)'`],
  ['oid', '1', '4294967295'],
  ['pg_lsn', `'0/0'`, `'FFFFFFFF/FFFFFFFF'`],
  ['int[]', `'{}'`, `'[0:1]={1,NULL}'`],
  ['text[]', `'{a}'`, `'{{"",","},{NULL,"\\""}}'`],
  ['public.mood', `'calm'`, `'busy'`],
  ['public.pair', `'(1,)'`, `'(2,"a ""b"", c")'`],
  ['ext.citext', `'a'`, `'MiXeD'`],
  ['public.email', `'a@b'`, `'A@b.org'`],
];

const fill = `
create schema ext;
create extension citext schema ext;
create collation public.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
${movingTables};
create type public.pair as (a int, b text);
create domain public.email as ext.citext check (value ~ '@');
create schema keys;
${keyTypes.map(([type, standing, planted], at) => `create table keys.k${at} (k ${type} primary key, v text); insert into keys.k${at} values (${standing}, 'a'), (${planted}, 'b');`).join('\n')}`;

let pair: PostgresPair;
let rig: MovingRig;
let application: Application | undefined;
let attempts = 0;

beforeAll(async () => {
  pair = await startPair();
  rig = await movingRig(pair, fill);
});
afterAll(async () => {
  await application?.stop().catch(() => undefined);
  await rig.end();
  await pair.stop();
});

interface Asked {
  leg?: Leg;
  checksum?: 'all' | string[];
  exclude?: string[];
  attempt?: string;
}

async function compare({ leg = 0, checksum = 'all', exclude = [], attempt = '' }: Asked = {}) {
  attempts += 1;
  const compared = await createMovingActivities(rig.dependencies).compareMoving({
    scope: { ...rig.scope, tables: { include: ['*.*'], exclude } },
    leg,
    checksum,
    lanes: 2,
    attempt: attempt || `a${attempts}`,
  });
  return { ...compared, record: new Map(compared.records.map((record) => [record.name, record])) };
}

describe('while an application writes', () => {
  beforeAll(async () => {
    application = await rig.write(rig.urls.source);
    const passing = jest.spyOn(MovingSessions.prototype, 'passMarker');
    // However quick the machine, there is something to be told apart between any two looks.
    const busily = (): void => {
      passing.mockImplementationOnce(async function (this: MovingSessions) {
        const before = application?.writes() ?? 0;
        await until('a hundred more writes', () => (application?.writes() ?? 0) >= before + 100);
        await this.passMarker();
        busily();
      });
    };
    busily();
  });
  afterAll(async () => {
    jest.restoreAllMocks();
    await application?.stop();
    application = undefined;
    await rig.arrived();
  });

  it('calls no row different that merely moves, and leaves to the freeze only what never stood still', async () => {
    const before = application?.writes() ?? 0;
    const { records, unequal, hot, undecided, pending, tables, record } = await compare();
    expect((application?.writes() ?? 0) - before).toBeGreaterThan(500);
    expect(records.filter(({ outcome }) => outcome !== 'pass' && outcome !== 'skipped')).toEqual([]);
    expect(unequal).toBe(0);
    expect(hot).toContain('public.accounts');
    expect(record.get('unlogged tables')).toMatchObject({
      outcome: 'skipped',
      differences: ['public.cache: no stream carries it, it is copied under the fence'],
    });
    expect(tables.find(({ table }) => table === 'public.parts_1')?.equal).toBe(true);
    expect(pending === undefined).toBe(undecided === 0);
    const left = record.get('rows that moved all the time')?.differences ?? [];
    expect(left.filter((line) => !/^public\.(bag|flips|visits|staging): /.test(line))).toEqual([]);
  });

  it('names by key every row that is wrong and stands still', async () => {
    await rig.target.query(`
      update public.accounts set note = 'other' where id = 77;
      delete from public.accounts where id = 78;
      insert into public.accounts values (50000, 0, 'extra', null);
      update public.flips set state = 'B' where id = 40;
      insert into public.visits values (3);
      update public.parts set v = -1 where id = 1500;
      update public."Odd ""Name.s" set v = v + 1 where "Key, a" like 'k"(7,%';
      insert into public.bag values (1), (1);
      create temp table gone as select line from public.log order by ctid limit 1;
      delete from public.log where ctid = (select min(ctid) from public.log)`);
    const { record, records, unequal } = await compare();
    await rig.target.query(`
      update public.accounts set note = 'note 77' where id = 77;
      insert into public.accounts values (78, 78, 'note 78', decode(md5('78'), 'hex'));
      delete from public.accounts where id = 50000;
      update public.flips set state = 'A' where id = 40;
      delete from public.visits where id = 3;
      update public.parts set v = 1500 where id = 1500;
      update public."Odd ""Name.s" set v = v - 1 where "Key, a" like 'k"(7,%';
      delete from public.bag where ctid in (select ctid from public.bag where v = 1 order by ctid desc limit 2);
      insert into public.log select line from gone`);
    const wrong = records.filter(({ name }) => name.startsWith('rows of')).flatMap(({ differences }) => differences);
    expect(wrong.sort()).toEqual(
      [
        'public.Odd "Name.s key=("k""(7,\'\\\\",busy,"c7   ","2023-12-31 22:00:07.123+00"): different',
        'public.accounts key=(50000): extra on the target',
        'public.accounts key=(77): different',
        'public.accounts key=(78): missing on the target',
        'public.bag (no key): 0 rows only on the source, 2 rows only on the target',
        'public.flips key=(40): different',
        'public.log (no key): 1 rows only on the source, 0 rows only on the target',
        'public.parts_1 key=(1500,2024-01-01): different',
        'public.visits key=(3): extra on the target',
      ].sort(),
    );
    expect(unequal).toBe(7);
    expect(record.get('row digests')?.outcome).toBe('fail');
    expect(record.get('row counts')?.differences).not.toContainEqual(expect.stringContaining('public.flips'));
  });
});

function withSessions<Result>(work: (source: Client, target: Client) => Promise<Result>): Promise<Result> {
  const { connections } = rig.dependencies;
  const options = { purpose: 'test', settings: { ...valueSettings } };
  return connections.withSession(rig.scope.source, { ...options, side: 'source' }, (source) =>
    connections.withSession(rig.scope.target, { ...options, side: 'target' }, (target) => work(source, target)),
  );
}

/** One table as `compareMoving` does it, with limits that a test can reach. */
async function compareOne(table: string, limits: PassOptions['limits']): Promise<MovingResult | undefined> {
  const { scope, dependencies } = rig;
  const { signal } = new AbortController();
  const options = { connections: dependencies.connections, scope, lanes: 2, writing: writingSide(0), signal };
  return MovingSessions.with({ ...options, streamsOf: (target) => streamsOf(target, scope, 0) }, async (sessions) => {
    const { subjects } = await listSubjects(sessions.control, scope, 'source', 'all');
    const subject = subjects.find(({ name }) => name === table);
    if (!subject) throw new Error(`no table ${table}`);
    const ignored = (): void => undefined;
    const results = await compareBatch(sessions, [subject], {
      ...{ hash: 'md5', writing: 'source', signal, limits, onBytes: ignored, onOpen: ignored },
      versions: { source: 150_000, target: 180_000 },
    });
    return results.get(subject);
  });
}

describe('when nothing is written', () => {
  it('finds a wrong row again whatever type its key is of, now and under the fence', async () => {
    await rig.target.query(keyTypes.map((_, at) => `update keys.k${at} set v = 'other' where v = 'b'`).join(';'));
    const { unequal, artifact } = await compare();
    expect(unequal).toBe(keyTypes.length);
    const read = JSON.parse(await rig.dependencies.artifacts.read(artifact)) as { differences: string[] };
    expect(read.differences.filter((line) => line.endsWith(': different'))).toHaveLength(keyTypes.length);

    const subjects = await allSubjects();
    const ids = await Promise.all(subjects.map(async (subject) => ({ subject, ids: await plantedIds(subject) })));
    const undecided = ids.filter(({ subject }) => subject.schema === 'keys');
    const { pending } = planPending(undecided.map(undecidedResult), subjects, 'md5');
    const reference = await rig.dependencies.artifacts.put('test', 'pending.json', JSON.stringify(pending));
    const stored = await readPending(rig.dependencies.artifacts, reference);
    const wrong = await withSessions((source, target) => comparePending(source, target, stored));
    expect(wrong.unequal).toBe(keyTypes.length);
    expect(wrong.records[0]).toMatchObject({ name: 'rows that moved all the time', outcome: 'fail' });
    await rig.target.query(keyTypes.map((_, at) => `update keys.k${at} set v = 'b' where v = 'other'`).join(';'));
    const right = await withSessions((source, target) => comparePending(source, target, stored));
    expect(right).toMatchObject({ unequal: 0, records: [{ outcome: 'pass' }] });
  });

  it('says of tables without a key under the fence whether they are the same', async () => {
    const subjects = await allSubjects();
    const bag = subjects.filter(({ name }) => name === 'bag').map((subject) => ({ subject, ids: ['any'] }));
    const { pending, undecided } = planPending(bag.map(undecidedResult), subjects, 'md5');
    expect(undecided).toBe(1);
    const look = () => withSessions((source, target) => comparePending(source, target, pending));
    expect((await look()).unequal).toBe(0);
    await rig.target.query('insert into public.bag values (2)');
    expect((await look()).records[0]?.differences).toEqual([
      expect.stringMatching(/^public\.bag: \d+ rows on the source, \d+ on the target, not the same$/),
    ]);
    await rig.target.query('delete from public.bag where ctid = (select ctid from public.bag where v = 2 limit 1)');
  });

  it('tells of a table that is all wrong how many keys differ at least, in bounded portions', async () => {
    await rig.target.query(`update public.accounts set note = 'wrong' where id <= 5000`);
    const all = await compareOne('accounts', { rows: 50_000, candidates: 10_000 });
    expect(all?.verdict.why).toBe('has 5000 different rows');
    expect(all?.lines).toHaveLength(21);
    expect(all?.lines.at(-1)).toBe('public.accounts: 5000 keys differ');
    const few = await compareOne('accounts', { rows: 500, candidates: 100 });
    expect(few?.lines.at(-1)).toBe('public.accounts: at least 100 keys differ');
    await rig.target.query(`update public.accounts set note = 'note ' || id where id <= 5000`);
    await rig.target.query(`update public.accounts set note = 'wrong' where id in (3, 4000)`);
    const cutFiner = await compareOne('accounts', { rows: 2, candidates: 100 });
    expect(cutFiner?.lines).toEqual(['public.accounts key=(3): different', 'public.accounts key=(4000): different']);
    await rig.target.query(`update public.accounts set note = 'note ' || id where id in (3, 4000)`);
  });

  it('reads a table again that was rewritten while it was read in pieces', async () => {
    const other = await rig.session('source');
    const passes = jest.spyOn(MovingSessions.prototype, 'atOneMoment');
    passes.mockImplementationOnce(async function (this: MovingSessions, work: () => Promise<unknown>) {
      await other.query('begin');
      await other.query('lock table public.accounts in access exclusive mode');
      return this.atOneMoment(work);
    });
    const comparing = compareOne('accounts', { pieceBytes: 500_000 });
    await until('a piece waits for the table', async () => (await sessionsOfOurs('Lock', 'source')) > 0);
    await other.query('cluster public.accounts using accounts_pkey');
    await other.query('commit');
    expect((await comparing)?.verdict.outcome).toBe('equal');
    // The first pass twice: once by us.
    expect(passes).toHaveBeenCalledTimes(3);
    passes.mockRestore();
    await other.end();
  });

  it('sees tables of one side only, other columns, and rows of extensions that are the user’s own', async () => {
    const setUp = `
      create table public.settings (id int primary key, v text);
      insert into public.settings values (1, 'own'), (2, 'of the extension');
      alter extension citext add table public.settings;
      update pg_extension set extconfig = array['public.settings'::regclass::oid], extcondition = array['WHERE id < 2 or v = ''x''']
       where extname = 'citext'`;
    const takeDown = `
      update pg_extension set extconfig = null, extcondition = null where extname = 'citext';
      alter extension citext drop table public.settings; drop table public.settings`;
    for (const side of [rig.source, rig.target]) await side.query(setUp);
    await rig.target.query(`update public.settings set v = 'changed'`);
    await rig.source.query('create table public.new (id int); create table public.other (a int, b int)');
    await rig.target.query('create table public.surplus (id int); create table public.other (a int, b bigint)');
    try {
      const { record, unequal, tables } = await compare();
      expect(unequal).toBe(4);
      const differencesOf = (name: string) => record.get(`rows of public.${name}`)?.differences;
      expect(differencesOf('settings')).toEqual(['public.settings key=(1): different']);
      expect(differencesOf('new')).toEqual(['public.new is missing on the target']);
      expect(differencesOf('surplus')).toEqual(['public.surplus exists only on the target']);
      expect(differencesOf('other')).toEqual([
        'public.other has other columns: only on the source b integer; only on the target b bigint',
      ]);
      expect(tables.find(({ table }) => table === 'public.new')?.equal).toBe(false);
    } finally {
      for (const side of [rig.source, rig.target]) await side.query(`${takeDown}; drop table public.other`);
      await rig.source.query('drop table public.new');
      await rig.target.query('drop table public.surplus');
    }
  });

  it('compares the keys alone of tables that are not to be digested, and takes no pattern without a table for a pass', async () => {
    await rig.target.query(
      `update public.flips set state = 'other' where id = 9; delete from public.accounts where id = 9`,
    );
    const { records, record, tables } = await compare({ checksum: ['public.parts_*', 'public.nothing'] });
    expect(records.filter(({ outcome }) => outcome !== 'pass').map(({ name, outcome }) => [name, outcome])).toEqual([
      ['row counts', 'fail'],
      ['rows of public.accounts', 'fail'],
      ['unlogged tables', 'skipped'],
      ['row digests of public.nothing', 'unverifiable'],
    ]);
    expect(record.get('rows of public.accounts')?.differences).toEqual([
      'public.accounts key=(9): missing on the target',
    ]);
    expect(tables.find(({ table }) => table === 'public.flips')?.equal).toBeUndefined();
    await rig.target.query(`update public.flips set state = 'A' where id = 9`);
    await rig.target.query(`insert into public.accounts values (9, 9, 'note 9', decode(md5('9'), 'hex'))`);
  });

  it('takes what it cannot read for unverifiable, and reads it again when the attempt goes on', async () => {
    await rig.source.query(`
      create role reader login password '${pair.source.password}';
      grant pg_read_all_data to reader; grant usage on schema cutover to reader;
      grant update on all tables in schema cutover to reader;
      alter table public.accounts enable row level security`);
    const connections = new PostgresConnections({
      SOURCE: pair.source.url(rig.scope.migration, 'reader'),
      TARGET: pair.target.url(rig.scope.migration),
    });
    const asReader = createMovingActivities({ ...rig.dependencies, connections });
    const input = { scope: rig.scope, leg: 0, checksum: 'all' as const, lanes: 1, attempt: 'reader' };
    const { records, unequal, tables } = await asReader.compareMoving(input);
    expect(unequal).toBe(0);
    expect(records.slice(0, 2).map(({ outcome }) => outcome)).toEqual(['unverifiable', 'unverifiable']);
    expect(records[1]?.differences?.[0]).toMatch(
      /public\.accounts could not be read on the source: .*row-level security/,
    );
    expect(tables.find(({ table }) => table === 'public.accounts')?.equal).toBeUndefined();
    await rig.source.query('alter table public.accounts disable row level security');
    const again = await asReader.compareMoving(input);
    expect(again.records.slice(0, 2).map(({ outcome }) => outcome)).toEqual(['pass', 'pass']);
  });

  it('goes on after a kill with the tables that are not done, and forgets them in a new attempt', async () => {
    await compare({ attempt: 'killed' });
    await rig.target.query(`delete from cutover.moving where table_name in ('accounts', 'flips')`);
    await rig.target.query(
      `update cutover.moving set result = replace(result, '"moved":0', '"moved":7') where table_name = 'bag'`,
    );
    await rig.target.query(`begin; insert into cutover.moving values ('killed', 'public', 'flips', '')`);
    const stopping = new AbortController();
    const reports: unknown[] = [];
    const killed = withOnlooker({ signal: stopping.signal, report: (progress) => reports.push(progress) }, () =>
      compare({ attempt: 'killed' }).catch((error: unknown) => error),
    );
    await until('a result waits to be noted', async () => (await sessionsOfOurs('Lock')) > 0);
    stopping.abort();
    expect(await killed).toBeInstanceOf(Error);
    await until('its sessions are gone', async () => (await sessionsOfOurs('%')) === 0);
    await rig.target.query('rollback');
    expect(reports.at(-1)).toMatchObject({ table: 'public.accounts' });

    const { records, hot } = await compare({ attempt: 'killed' });
    expect(records.filter(({ outcome }) => outcome === 'fail')).toEqual([]);
    expect(hot).toEqual(['public.bag']);
    expect((await compare()).hot).toEqual([]);
    expect((await rig.target.query('select distinct attempt from cutover.moving')).rowCount).toBe(1);
  });

  it('calls no row different whose commit waits for a synchronous standby', async () => {
    const other = await rig.session('source');
    const reload = async (setting: string): Promise<void> => {
      await rig.source.query(`alter system ${setting}`);
      await rig.source.query('select pg_reload_conf()');
    };
    try {
      await reload(`set synchronous_standby_names = 'nobody'`);
      await until('commits wait for the standby', async () => {
        const { rows } = await other.query<{ names: string }>(
          `select current_setting('synchronous_standby_names') as names`,
        );
        return rows[0]?.names === 'nobody';
      });
      const held = other.query(`update public.accounts set note = 'held' where id = 5`);
      await until('the change is on the target alone', async () => {
        const { rowCount } = await rig.target.query(`select from public.accounts where id = 5 and note = 'held'`);
        return rowCount === 1;
      });
      const { records, unequal, record } = await compare();
      expect(unequal).toBe(0);
      expect(records.filter(({ outcome }) => outcome === 'fail' || outcome === 'unverifiable')).toEqual([]);
      expect(record.get('rows that moved all the time')?.differences).toEqual([
        'public.accounts: 1 rows left to the freeze',
      ]);
      await reload('reset synchronous_standby_names');
      await held;
    } finally {
      await reload('reset synchronous_standby_names');
      await other.end();
    }
    expect((await compare()).undecided).toBe(0);
  });

  it('needs its ledger, and never makes one', async () => {
    const scope = { ...rig.scope, migration: 'another' };
    const moving = createMovingActivities(rig.dependencies);
    const failed = await failureOf(moving.compareMoving({ scope, leg: 0, checksum: 'all', lanes: 1, attempt: 'a' }));
    expect(failureType(failed)).toBe('TargetConflict');
  });
});

describe('on the way back', () => {
  it('takes the target for right, and names what is wrong on the source', async () => {
    const back: Leg = 1;
    await rig.target.query(`alter subscription ${rig.stream.name} disable`);
    await rig.target.query(`drop subscription ${rig.stream.name}`);
    const { scope, source, target, urls } = rig;
    const sides = { migration: scope.migration, source, target, sourceUrl: urls.source, targetUrl: urls.target };
    const tables = ['accounts', 'flips', 'visits', 'staging', 'log', 'bag', 'parts_1', 'parts_2'];
    await plainStream(
      sides,
      back,
      tables.map((name) => `only public.${name}`),
    );
    application = await rig.write(urls.target);
    await source.query('delete from public.accounts where id = 78');
    await source.query(`insert into public.accounts values (50000, 0, '', null)`);
    const { records } = await compare({ leg: back, exclude: ['public.bag', 'public.visits'] });
    await application.stop();
    application = undefined;
    const wrong = records.filter(({ name }) => name.startsWith('rows of')).flatMap(({ differences }) => differences);
    expect(wrong).toEqual([
      'public.accounts key=(50000): extra on the source',
      'public.accounts key=(78): missing on the source',
    ]);
  });
});

/** Sessions of the comparison on one side that wait for a lock; all of them for `%`. */
async function sessionsOfOurs(waitingFor: string, side: 'source' | 'target' = 'target'): Promise<number> {
  const other = await rig.session(side);
  const { rowCount } = await other.query(
    `select from pg_stat_activity where datname = current_database() and application_name in ('cutover digest', 'cutover compare moving')
       and coalesce(wait_event_type, '') like $1`,
    [waitingFor],
  );
  await other.end();
  return rowCount ?? 0;
}

async function allSubjects(): Promise<Subject[]> {
  const { subjects } = await withSessions((source, target) =>
    listSubjects({ source, target }, rig.scope, 'source', 'all'),
  );
  return subjects;
}

async function plantedIds({ schema, name, source }: Subject): Promise<string[]> {
  const [key] = source.relation.key ?? [];
  if (schema !== 'keys' || !key) return [];
  return withSessions(async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `select json_build_array(${key}::text)::text as id from ${schema}.${name} where v = 'b'`,
    );
    return rows.map(({ id }) => id);
  });
}

function undecidedResult({ subject: { schema, name, keyed }, ids }: { subject: Subject; ids: string[] }): MovingResult {
  const whole = !keyed;
  const verdict = { table: `${schema}.${name}`, schema, name, comparable: true, digested: true, bytes: 0 };
  return {
    verdict: { ...verdict, outcome: 'equal' },
    lines: [],
    onOneSideOnly: false,
    moved: 1,
    undecided: ids,
    whole,
  };
}
