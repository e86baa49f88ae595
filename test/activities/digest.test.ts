import { failureType } from '../../activities/errors';
import { PostgresConnections } from '../../activities/postgres/connection';
import { createDigestActivities } from '../../activities/postgres/digest';
import { findDifferences } from '../../activities/postgres/digest/bisect';
import { listRelations } from '../../activities/postgres/digest/relations';
import { copyAll, copyRig, type CopyRig } from '../fixtures/copy-rig';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { until } from '../fixtures/until';

const fill = `
create table public.keyed (id int primary key, a text, b text, amount numeric);
insert into public.keyed select i, 'a' || i, 'b' || i, i * 1.0 from generate_series(1, 5000) i;
create table public."Odd.Name" ("Key" text, "second" int, body bytea, primary key ("Key", "second"));
insert into public."Odd.Name" select 'k,' || i, i, decode(md5(i::text), 'hex') from generate_series(1, 500) i;
create table public.keyless (a int, b text);
insert into public.keyless select i % 10, 'row' from generate_series(1, 300) i;
create table public.edges (id int primary key, a text, b text);
insert into public.edges values (1, 'ab', 'c'), (2, '', null), (3, 'x', 'y');
create table public.counted (id int primary key, v int);
insert into public.counted select i, i from generate_series(1, 100) i;
create materialized view public.sums as select a, count(*) as n from public.keyless group by a`;

let pair: PostgresPair;
let rig: CopyRig;
let attempts = 0;

beforeAll(async () => {
  pair = await startPair();
  rig = await copyRig(pair, fill);
  await copyAll(rig);
  await rig.target.query('refresh materialized view public.sums');
});
afterAll(async () => {
  await rig.end();
  await pair.stop();
});

async function compare(checksum: 'all' | string[] = 'all') {
  attempts += 1;
  const compared = await rig.activities.compareTables({
    scope: rig.scope,
    checksum,
    lanes: 2,
    attempt: `a${attempts}`,
  });
  return { ...compared, record: new Map(compared.records.map((record) => [record.name, record])) };
}

/** Compares with the change made on the target, and takes it back. */
async function withChange(sql: string, undo: string, checksum: 'all' | string[] = 'all') {
  await rig.target.query(sql);
  try {
    return await compare(checksum);
  } finally {
    await rig.target.query(undo);
  }
}

describe('the digest of every row', () => {
  it('is equal for equal tables, and the same in the report of both sides', async () => {
    const { records, unequal, tables, artifact } = await compare();
    expect(records.map(({ name, outcome }) => [name, outcome])).toEqual([
      ['row counts', 'pass'],
      ['row digests', 'pass'],
    ]);
    expect(records[0]).toMatchObject({ source: '5903 rows', target: '5903 rows' });
    expect(records[1]?.source).toBe(records[1]?.target);
    expect(unequal).toBe(0);
    expect(tables.map(({ table }) => table).sort()).toEqual(
      ['public.Odd.Name', 'public.counted', 'public.edges', 'public.keyed', 'public.keyless'].sort(),
    );
    expect(await rig.dependencies.artifacts.read(artifact)).toContain('public.keyless');
  });

  it.each([
    [
      'one value',
      `update public.keyed set a = 'A7' where id = 7`,
      `update public.keyed set a = 'a7' where id = 7`,
      'key=(7): different',
    ],
    [
      '1.00 in place of 1.0',
      `update public.keyed set amount = 1.00 where id = 1`,
      `update public.keyed set amount = 1.0 where id = 1`,
      'key=(1): different',
    ],
    [
      'a missing row',
      `delete from public.keyed where id = 42`,
      `insert into public.keyed values (42, 'a42', 'b42', 42.0)`,
      'key=(42): missing on the target',
    ],
    [
      'an extra row',
      `insert into public.keyed values (9999, '', '', 0)`,
      `delete from public.keyed where id = 9999`,
      'key=(9999): extra on the target',
    ],
    [
      'two columns swapped',
      `update public.keyed set a = b, b = a where id = 5`,
      `update public.keyed set a = b, b = a where id = 5`,
      'key=(5): different',
    ],
  ])('finds %s and names its key', async (_, change, undo, line) => {
    const { unequal, record, tables } = await withChange(change, undo);
    expect(unequal).toBe(1);
    expect(record.get('row digests')?.outcome).toBe('fail');
    expect(record.get('rows of public.keyed')).toMatchObject({
      outcome: 'fail',
      differences: [`public.keyed ${line}`],
    });
    expect(tables.find(({ table }) => table === 'public.keyed')?.equal).toBe(false);
  });

  it('finds two rows that swapped their values', async () => {
    const swap = `update public.keyed set a = 'a' || (21 - id), b = 'b' || (21 - id), amount = (21 - id) * 1.0 where id in (10, 11)`;
    const back = `update public.keyed set a = 'a' || id, b = 'b' || id, amount = id * 1.0 where id in (10, 11)`;
    const { record } = await withChange(swap, back);
    expect(record.get('rows of public.keyed')?.differences).toEqual([
      'public.keyed key=(10): different',
      'public.keyed key=(11): different',
    ]);
  });

  it('tells NULL from nothing and knows where one column ends', async () => {
    const { record } = await withChange(
      `update public.edges set a = 'a', b = 'bc' where id = 1; update public.edges set a = null, b = '' where id = 2`,
      `update public.edges set a = 'ab', b = 'c' where id = 1; update public.edges set a = '', b = null where id = 2`,
    );
    expect(record.get('rows of public.edges')?.differences).toHaveLength(2);
  });

  it('finds a duplicate in a table without a key, and rows exchanged for others in equal number', async () => {
    const doubled = await withChange(
      `insert into public.keyless values (1, 'row')`,
      `delete from public.keyless where ctid = (select max(ctid) from public.keyless where a = 1)`,
    );
    expect(doubled.record.get('rows of public.keyless')?.differences).toEqual([
      'public.keyless (no key): 0 rows only on the source, 1 rows only on the target',
    ]);
    expect(doubled.record.get('row counts')?.differences).toEqual(['public.keyless source 300 rows, target 301 rows']);
    const exchanged = await withChange(
      `update public.keyless set b = 'changed' where ctid = (select min(ctid) from public.keyless where a = 2)`,
      `update public.keyless set b = 'row' where b = 'changed'`,
    );
    expect(exchanged.record.get('row counts')?.outcome).toBe('pass');
    expect(exchanged.record.get('rows of public.keyless')?.differences).toEqual([
      'public.keyless (no key): 1 rows only on the source, 1 rows only on the target',
    ]);
  });

  it('names compound keys with odd names, twenty of them and how many there are', async () => {
    const { record } = await withChange(
      `update public."Odd.Name" set body = '\\x00' where second <= 30`,
      `update public."Odd.Name" set body = decode(md5(second::text), 'hex') where second <= 30`,
    );
    const differences = record.get('rows of public.Odd.Name')?.differences ?? [];
    expect(differences).toHaveLength(21);
    expect(differences[0]).toBe('public.Odd.Name key=("k,1",1): different');
    expect(differences[20]).toBe('public.Odd.Name: 30 keys differ');
  });

  it('tells rows apart in bounded memory: alike ones are counted where they are, and too many are only counted', async () => {
    const differences = (table: string, limit?: number) =>
      rig.dependencies.connections.withSession(rig.scope.source, { side: 'source', purpose: 'test' }, (source) =>
        rig.dependencies.connections.withSession(
          rig.scope.target,
          { side: 'target', purpose: 'test' },
          async (target) => {
            const relation = (await listRelations(source, rig.scope)).find(({ name }) => name === table);
            if (!relation) throw new Error(`no table ${table}`);
            return findDifferences(source, target, relation, 5_000, 'md5', limit);
          },
        ),
      );
    await rig.target.query(`update public.keyed set a = 'other'`);
    await rig.source.query(`insert into public.keyless select 77, 'row' from generate_series(1, 250000)`);
    await rig.target.query(`insert into public.keyless select 77, 'row' from generate_series(1, 249999)`);
    try {
      expect(await differences('keyless')).toEqual([
        'public.keyless (no key): 1 rows only on the source, 0 rows only on the target',
      ]);
      expect((await differences('keyed', 0)).join()).toMatch(
        /^public\.keyed: differs among 1 rows on the source and 1 on the target, too many to be told apart; \d+ more parts of the table differ$/,
      );
    } finally {
      await rig.target.query(`update public.keyed set a = 'a' || id`);
      for (const side of [rig.source, rig.target]) await side.query(`delete from public.keyless where a = 77`);
    }
  });

  it('never shows anything but keys', async () => {
    const { records } = await withChange(
      `update public.keyed set a = 'a secret' where id = 3`,
      `update public.keyed set a = 'a3' where id = 3`,
    );
    expect(JSON.stringify(records)).not.toContain('secret');
  });

  it('sees columns of another type and a table that is on one side only', async () => {
    await rig.target.query(`alter table public.counted alter v type bigint; create table public.surplus (id int)`);
    await rig.target.query(`drop table public.edges`);
    try {
      const { record, unequal } = await compare();
      expect(unequal).toBe(3);
      expect(record.get('rows of public.counted')?.differences).toEqual([
        'public.counted has other columns: only on the source v integer; only on the target v bigint',
      ]);
      expect(record.get('rows of public.surplus')?.differences).toEqual(['public.surplus exists only on the target']);
      expect(record.get('rows of public.edges')?.differences).toEqual(['public.edges is missing on the target']);
    } finally {
      await rig.target.query(`alter table public.counted alter v type int; drop table public.surplus`);
      await rig.target.query(`create table public.edges (id int primary key, a text, b text)`);
      await rig.target.query(`insert into public.edges values (1, 'ab', 'c'), (2, '', null), (3, 'x', 'y')`);
    }
    expect((await compare()).unequal).toBe(0);
  });
});

describe('a materialized view', () => {
  const verdicts = async (): Promise<unknown[]> => {
    const records = await rig.activities.compareMaterializedViews({ scope: rig.scope });
    return records.map(({ name, source, target, outcome }) => ({ name, source, target, outcome }));
  };
  const name = 'materialized view public.sums';

  it('with the content of the source passes', async () => {
    expect(await verdicts()).toEqual([{ name, source: '10 rows', target: '10 rows', outcome: 'pass' }]);
  });

  it('goes by the tables it is made of, not by its own name: those over tables left behind are left behind', async () => {
    const names = async (tables: { include: string[]; exclude: string[] }): Promise<string[]> =>
      (await rig.activities.compareMaterializedViews({ scope: { ...rig.scope, tables } })).map((record) => record.name);
    expect(await names({ include: ['public.keyless'], exclude: [] })).toEqual([name]);
    expect(await names({ include: ['*.*'], exclude: ['public.keyless'] })).toEqual([]);
  });

  it('is analyzed with the tables it is made of', async () => {
    const tables = { include: ['public.keyless'], exclude: [] };
    await rig.activities.analyzeTarget({ scope: { ...rig.scope, tables }, lanes: 1 });
    const { rows } = await rig.target.query<{ n: number }>(
      `select count(*)::int as n from pg_stats where schemaname = 'public' and tablename = 'sums'`,
    );
    expect(rows[0]?.n).toBeGreaterThan(0);
  });

  it('that was stale on the source passes with what its query gives on the target, and is named as such', async () => {
    await rig.target.query(`delete from public.keyless where a = 9; refresh materialized view public.sums`);
    try {
      expect(await verdicts()).toEqual([
        { name, source: '10 rows, stale', target: '9 rows, as its query gives them now', outcome: 'pass' },
      ]);
      await rig.target.query(`insert into public.keyless select 9, 'row' from generate_series(1, 31)`);
      expect(await verdicts()).toEqual([{ name, source: '10 rows', target: '9 rows', outcome: 'unverifiable' }]);
    } finally {
      await rig.target.query(`delete from public.keyless where a = 9`);
      await rig.target.query(`insert into public.keyless select 9, 'row' from generate_series(1, 30)`);
      await rig.target.query('refresh materialized view public.sums');
    }
  });

  it('that was left unpopulated does not pass', async () => {
    await rig.target.query('refresh materialized view public.sums with no data');
    expect(await verdicts()).toEqual([{ name, source: undefined, target: undefined, outcome: 'fail' }]);
    await rig.target.query('refresh materialized view public.sums');
  });
});

describe('what is not digested', () => {
  it('is counted, and a pattern that names no table is not a pass', async () => {
    const change = `update public.counted set v = -1 where id = 1`;
    const back = `update public.counted set v = 1 where id = 1`;
    const { records, tables } = await withChange(change, back, ['public.keyed', 'public.nothing_*']);
    expect(records.map(({ name, outcome }) => [name, outcome])).toEqual([
      ['row counts', 'pass'],
      ['row digests', 'pass'],
      ['row digests of public.nothing_*', 'unverifiable'],
    ]);
    expect(tables.find(({ table }) => table === 'public.counted')?.equal).toBeUndefined();
    const fewer = await withChange(
      `delete from public.counted where id = 1`,
      `insert into public.counted values (1, 1)`,
      ['public.keyed'],
    );
    expect(fewer.record.get('row counts')?.outcome).toBe('fail');
    expect(fewer.record.get('rows of public.counted')?.differences).toEqual([
      'public.counted key=(1): missing on the target',
    ]);
  });
});

describe('what cannot be read', () => {
  it('is unverifiable, never a pass', async () => {
    await rig.source.query(
      `create role reader login password '${pair.source.password}'; grant pg_read_all_data to reader`,
    );
    await rig.source.query('alter table public.counted enable row level security');
    const connections = new PostgresConnections({
      SOURCE: pair.source.url(rig.scope.migration, 'reader'),
      TARGET: pair.target.url(rig.scope.migration),
    });
    const asReader = createDigestActivities({ ...rig.dependencies, connections });
    const input = { scope: rig.scope, checksum: 'all' as const, lanes: 1, attempt: 'reader' };
    const { records, unequal, tables } = await asReader.compareTables(input);
    expect(unequal).toBe(0);
    expect(records.map(({ outcome }) => outcome)).toEqual(['unverifiable', 'unverifiable']);
    expect(records[1]?.differences?.[0]).toMatch(
      /public\.counted could not be read on the source: .*row-level security/,
    );
    expect(tables.find(({ table }) => table === 'public.counted')?.equal).toBeUndefined();

    await rig.source.query('alter table public.counted disable row level security');
    const again = await asReader.compareTables(input);
    expect(again.records.map(({ outcome }) => outcome)).toEqual(['pass', 'pass']);
  });
});

describe('a validation that is killed', () => {
  it('goes on where it was, and begins anew for another attempt', async () => {
    const input = { scope: rig.scope, checksum: 'all' as const, lanes: 2, attempt: 'killed' };
    await rig.activities.compareTables(input);
    // As if two pieces had not been reached; one of them cannot be noted before the session is ended.
    await rig.target.query(
      `update cutover.digest set rows = null, duration_ms = null where table_name in ('keyed', 'keyless') and side = 'source'`,
    );
    await rig.target.query(`update cutover.digest set duration_ms = -1 where rows is not null`);
    await rig.target.query('begin');
    await rig.target.query(`select from cutover.digest where table_name = 'keyed' for update`);
    const killed = rig.activities.compareTables(input).catch((error: unknown) => error);
    const watch = await rig.anotherSession();
    const waiting = `from pg_stat_activity where datname = current_database() and application_name = 'cutover compare tables' and wait_event_type = 'Lock'`;
    await until('a result waits to be noted', async () => ((await watch.query(`select ${waiting}`)).rowCount ?? 0) > 0);
    await watch.query(`select pg_terminate_backend(pid) ${waiting}`);
    expect(failureType(await killed)).toBe('TargetUnavailable');
    await rig.target.query('rollback');

    const { records } = await rig.activities.compareTables(input);
    expect(records.map(({ outcome }) => outcome)).toEqual(['pass', 'pass']);
    const { rows } = await rig.target.query<{ read: string[] }>(
      `select array_agg(distinct table_name order by table_name) as read from cutover.digest where duration_ms >= 0`,
    );
    expect(rows[0]?.read.every((table) => ['keyed', 'keyless'].includes(table))).toBe(true);
    await compare();
    expect((await rig.target.query('select distinct attempt from cutover.digest')).rowCount).toBe(1);
  });
});
