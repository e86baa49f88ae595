import { followsFrom } from '../../activities/postgres/fidelity/transformed';
import { reshapeSql, shapeSql } from '../../activities/postgres/transform/statements';
import { columnTitle, recordsOfTable } from '../../activities/postgres/transform/verdicts';
import { parsePostgresPlan } from '../../plan/parse';
import { transformationsSchema, type Transformation } from '../../plan/transformations';

const base = { name: 'orders', source: { env: 'A' }, target: { env: 'B' } };
const issues = (plan: object): string[] => {
  const parsed = parsePostgresPlan({ ...base, ...plan });
  return parsed.ok ? [] : parsed.issues.map(({ path, expected }) => `${path}: ${expected}`);
};
const of = (columns: object, more: object = {}) => ({
  transformations: [{ table: 'public.orders', columns, ...more }],
});
const parsed = (columns: object): Transformation =>
  transformationsSchema.parse([{ table: 'public.orders', columns }])[0]!;

describe('transformations of a plan', () => {
  it('take a rename, a cast, an expression, NOT NULL, a default and a drop, and no reject unless said otherwise', () => {
    const plan = parsePostgresPlan({
      ...base,
      ...of({
        a: { rename: 'b', type: 'int', default: '0', notNull: true },
        c: { drop: true },
        d: { expression: 'e' },
      }),
    });
    expect(plan.ok && plan.plan.transformations[0]?.maxRejects).toBe(0);
  });

  it.each([
    [
      'a table without a schema',
      { transformations: [{ table: 'orders', columns: { a: { type: 'int' } } }] },
      'schema.table',
    ],
    ['a wildcard', { transformations: [{ table: 'public.*', columns: { a: { type: 'int' } } }] }, 'without wildcards'],
    ['a table without columns', of({}), 'at least one column'],
    ['a column of which nothing is asked', of({ a: {} }), 'at least one of'],
    ['a drop together with something else', of({ a: { drop: true, type: 'int' } }), 'drop alone'],
    ['two columns of one name', of({ a: { rename: 'x' }, b: { rename: 'x' } }), '"a" is renamed to it'],
    ['a rename to the same name', of({ a: { rename: 'a' } }), 'another name'],
    [
      'a table twice',
      {
        transformations: [...of({ a: { type: 'int' } }).transformations, ...of({ b: { type: 'int' } }).transformations],
      },
      'each table once',
    ],
    ['a field that there is not', of({ a: { typ: 'int' } }), 'only the fields'],
    ['a name that PostgreSQL would cut', of({ a: { rename: 'ä'.repeat(32) } }), '63 bytes'],
    ['the strategy cdc', { ...of({ a: { type: 'int' } }), strategy: 'cdc' }, 'logical replication'],
    ['the strategy incremental', { ...of({ a: { type: 'int' } }), strategy: 'incremental' }, 'passes'],
  ])('refuse %s', (_what, plan, said) => {
    const found = issues(plan);
    expect(found.join('\n')).toContain(said);
    expect(found[0]).toContain('transformations');
  });
});

describe('the statements', () => {
  it('change types at once, and names and drops at the end, with RESTRICT', () => {
    const transformation = parsed({
      a: { type: 'date', default: '0', notNull: true, rename: 'b' },
      c: { drop: true },
      d: { type: 'text' },
    });
    expect(shapeSql(transformation)).toEqual([
      'alter table only "public"."orders" alter column "a" drop default',
      'alter table only "public"."orders" alter column "c" drop default',
      'alter table only "public"."orders" alter column "a" type date using null::date, alter column "d" type text using null::text',
      'alter table only "public"."orders" alter column "a" set default (0\n)',
      'alter table only "public"."orders" alter column "a" set not null',
      'alter table only "public"."orders" alter column "c" drop not null',
    ]);
    expect(reshapeSql(transformation)).toEqual([
      'alter table only "public"."orders" drop column "c" restrict',
      'alter table only "public"."orders" rename column "a" to "b"',
    ]);
  });

  it('let two columns exchange their names', () => {
    const names = new Set(['a', 'b']);
    for (const sql of reshapeSql(parsed({ a: { rename: 'b' }, b: { rename: 'a' } }))) {
      const [, from = '', to = ''] = /rename column "(.+)" to "(.+)"/.exec(sql) ?? [];
      expect(names.has(to)).toBe(false);
      names.delete(from);
      names.add(to);
    }
    expect([...names].sort()).toEqual(['a', 'b']);
  });
});

describe('differences of the schemas', () => {
  const sequence = (column: string) => ({ family: 'sequence', properties: { 'owned by': `public.orders.${column}` } });
  const objects = { 'sequence public.of_order': sequence('"order"'), 'sequence public.of_b': sequence('b') };
  const catalog = { major: 18, keywords: [], objects };
  const follows = (identity: string, property?: string): boolean =>
    followsFrom([parsed({ order: { type: 'int' }, b: { drop: true } })], { identity, property }, catalog, catalog);

  it('follow from a transformation only for the properties that it names', () => {
    expect(follows('column public.orders."order"', 'type')).toBe(true);
    expect(follows('column public.orders.b', 'not null')).toBe(true);
    expect(follows('column public.orders."order"', 'privileges')).toBe(false);
    expect(follows('column public.orders."order"')).toBe(false);
    expect(follows('column public.orders.c', 'type')).toBe(false);
    expect(follows('index public.orders_order', 'definition')).toBe(false);
    expect(follows('sequence public.of_order', 'maximum')).toBe(true);
    expect(follows('sequence public.of_order', 'increment')).toBe(false);
    expect(follows('sequence public.of_order')).toBe(false);
    expect(follows('sequence public.of_b', 'maximum')).toBe(false);
  });
});

describe('the verdict on a table', () => {
  const transformation = parsed({ a: { type: 'int' } });
  const piece = { rows: 10, rejects: 1, refused: 0, takeable: 0, missing: 0, differing: {}, lines: [] };
  const outcomes = (result: object, totals: object = {}): string[] =>
    recordsOfTable(
      transformation,
      [{ ...piece, ...result }],
      { targetRows: 9, rejects: 1, extra: [], ...totals },
      1,
    ).map(({ outcome }) => outcome);

  it('passes only when rows and rejects add up and every column was compared', () => {
    expect(outcomes({})).toEqual(['pass', 'pass', 'pass']);
    expect(outcomes({ differing: { a: 1 } })).toEqual(['pass', 'fail', 'pass']);
    expect(outcomes({ differing: { z: 1 } })).toEqual(['pass', 'pass', 'fail']);
    expect(outcomes({ missing: 1 }, { targetRows: 8 })[0]).toBe('fail');
    expect(outcomes({}, { targetRows: 10 })[0]).toBe('fail');
    expect(outcomes({}, { rejects: 2 })[0]).toBe('fail');
    expect(outcomes({ takeable: 1 })[0]).toBe('fail');
    expect(outcomes({ refused: 1 })).toEqual(['fail', 'unverifiable', 'unverifiable']);
    expect(outcomes({ failure: 'permission denied' })).toEqual(['unverifiable', 'unverifiable', 'unverifiable']);
    expect(outcomes({ failure: 'permission denied', rejects: 0 })[0]).toBe('unverifiable');
  });

  it('has the same name whether it fails or passes, so that the one replaces the other', () => {
    const records = (differing: Record<string, number>) =>
      recordsOfTable(transformation, [{ ...piece, differing }], { targetRows: 9, rejects: 1, extra: [] }, 1);
    const failed = records({ z: 2, a: 1 });
    expect(failed.map(({ name }) => name)).toEqual(records({}).map(({ name }) => name));
    expect(failed[2]?.differences).toEqual(['public.orders.z differs']);
  });

  it('names columns as they will be called, with what they are made of', () => {
    expect(columnTitle('public.orders', 'a', { rename: 'b', type: 'int', expression: 'a  + 1' })).toBe(
      'public.orders.b = a + 1 as int',
    );
  });
});
