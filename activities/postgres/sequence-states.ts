// Sequences as they are read and set: a fixed number of round trips however many there are, since an application may be waiting.
import type { ClientBase } from 'pg';
import { z } from 'zod';
import { quoteQualified } from './identifier';
import type { PostgresScope } from './scope';
import { listExcluded, listTables, matchesSelection } from './tables';

export interface SequenceState {
  schema: string;
  name: string;
  lastValue: bigint;
  isCalled: boolean;
  increment: bigint;
  min: bigint;
  max: bigint;
  cycle: boolean;
}

/** `schema.name`, as people write it. */
export function nameOf({ schema, name }: { schema: string; name: string }): string {
  return `${schema}.${name}`;
}

/**
 * The state `margin` steps on, within the cycle of a sequence that cycles. Of one that ends, never more than half of the numbers that are
 * left: a margin is for safety and must not be what uses a sequence up. Pure.
 */
export function withMargin(state: SequenceState, margin: bigint): SequenceState {
  if (margin === 0n) return state;
  const { lastValue, increment, min, max, cycle } = state;
  const ahead = lastValue + margin * increment;
  if (ahead >= min && ahead <= max) return { ...state, lastValue: ahead, isCalled: true };
  const step = increment > 0n ? increment : -increment;
  const toBound = increment > 0n ? (max - lastValue) / step : (lastValue - min) / step;
  if (!cycle) return withMargin(state, toBound / 2n);
  // After the bound the cycle begins anew at the other end, whatever the remainder of the last step.
  const perCycle = (max - min) / step + 1n;
  const beyond = (margin - toBound - 1n) % perCycle;
  return { ...state, lastValue: increment > 0n ? min + beyond * step : max - beyond * step, isCalled: true };
}

interface SequenceRow {
  schema: string;
  name: string;
  increment: string;
  min: string;
  max: string;
  cycle: string;
  /** Null where none was given out yet, or the server will not say. */
  last: string | null;
  owner: string | null;
  owner_schema: string | null;
  owner_name: string | null;
}

type Definition = Omit<SequenceState, 'lastValue' | 'isCalled'>;

/** By role for those before 17, which make an error of a sequence that may not be looked at. */
const lastSql = `case when has_sequence_privilege(c.oid, 'USAGE, SELECT') then pg_sequence_last_value(c.oid) end`;

const sequencesSql = `
select n.nspname as schema, c.relname as name, s.seqincrement as increment, s.seqmin as min, s.seqmax as max, s.seqcycle as cycle,
  ${lastSql} as last, o.oid as owner, os.nspname as owner_schema, o.relname as owner_name
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_sequence s on s.seqrelid = c.oid
left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass
  and d.refobjsubid > 0 and d.deptype in ('a', 'i')
left join pg_class o on o.oid = d.refobjid
left join pg_namespace os on os.oid = o.relnamespace
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'cutover')
  and not exists (
    select from pg_depend e join pg_extension x on x.oid = e.refobjid
    where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e' and c.oid <> all (coalesce(x.extconfig, '{}')))
order by n.nspname collate "C", c.relname collate "C"`;

/** Every sequence, owned or not, but for members of extensions and those that belong to tables left out. */
export async function readSequences(client: ClientBase, scope: PostgresScope): Promise<SequenceState[]> {
  const isSelected = await ownerSelection(client, scope);
  const { rows } = await client.query<SequenceRow>(sequencesSql);
  const wanted = rows.filter(isSelected).map(({ schema, name, increment, min, max, cycle, last }) => ({
    schema,
    name,
    increment: BigInt(increment),
    min: BigInt(min),
    max: BigInt(max),
    cycle: cycle === 't',
    last,
  }));
  return withStates(client, wanted);
}

/** Nothing is asked of the catalogues where the plan takes everything, as nearly all do. */
async function ownerSelection(client: ClientBase, { tables }: PostgresScope): Promise<(row: SequenceRow) => boolean> {
  if (tables.exclude.length === 0 && tables.include.includes('*.*')) return () => true;
  const selected = new Set((await listTables(client, tables)).map(({ oid }) => oid));
  const excluded = new Set((await listExcluded(client, tables)).map(({ oid }) => oid));
  return ({ schema, name, owner, owner_schema, owner_name }) => {
    if (owner === null)
      return !tables.exclude.length || matchesSelection({ include: ['*.*'], exclude: tables.exclude }, schema, name);
    if (selected.has(owner)) return true;
    if (excluded.has(owner)) return false;
    return matchesSelection(tables, owner_schema ?? '', owner_name ?? '');
  };
}

const valuesSql = `
select s.index - 1 as index, ${lastSql} as last
  from unnest($1::text[], $2::text[]) with ordinality as s(schema, name, index)
  join pg_namespace n on n.nspname = s.schema join pg_class c on c.relnamespace = n.oid and c.relname = s.name and c.relkind = 'S'`;

/** Those that are there, in the state they are in. */
export async function readStates(client: ClientBase, definitions: Definition[]): Promise<SequenceState[]> {
  const { rows } = await client.query<{ index: string; last: string | null }>(valuesSql, namesOf(definitions));
  const last = new Map(rows.map((row) => [Number(row.index), row.last]));
  return withStates(
    client,
    definitions.flatMap((definition, index) => {
      const value = last.get(index);
      return value === undefined ? [] : [{ ...definition, last: value }];
    }),
  );
}

const resultsSchema = z.array(
  z.object({ rows: z.array(z.object({ index: z.string(), last_value: z.string(), is_called: z.string() })) }),
);

/** One that was given out stands in the catalogue's function; the others are asked themselves, all in one round trip. */
async function withStates(
  client: ClientBase,
  definitions: (Definition & { last: string | null })[],
): Promise<SequenceState[]> {
  const silent = definitions.flatMap(({ schema, name, last }, index) =>
    last === null ? [`select ${index} as index, last_value, is_called from ${quoteQualified(schema, name)}`] : [],
  );
  // A statement each: one of a thousand branches takes PostgreSQL 15 longer to plan than to run.
  const answer: unknown = silent.length === 0 ? [] : await client.query(silent.join(';\n'));
  const results = resultsSchema.parse(Array.isArray(answer) ? answer : [answer]);
  const asked = new Map(results.flatMap(({ rows }) => rows).map((row) => [Number(row.index), row]));
  return definitions.flatMap(({ last, ...definition }, index) => {
    if (last !== null) return [{ ...definition, lastValue: BigInt(last), isCalled: true }];
    const row = asked.get(index);
    return row ? [{ ...definition, lastValue: BigInt(row.last_value), isCalled: row.is_called === 't' }] : [];
  });
}

function namesOf(sequences: { schema: string; name: string }[]): [schemas: string[], names: string[]] {
  return [sequences.map(({ schema }) => schema), sequences.map(({ name }) => name)];
}

export async function presentNames(client: ClientBase, states: SequenceState[]): Promise<Set<string>> {
  const { rows } = await client.query<{ index: string }>(valuesSql, namesOf(states));
  const there = new Set(rows.map(({ index }) => Number(index)));
  return new Set(states.filter((_, index) => there.has(index)).map(nameOf));
}

/** Sets those that are there, and names them. @param condition SQL; where it is false nothing is set */
export async function setSequences(
  client: ClientBase,
  states: SequenceState[],
  condition: string,
): Promise<Set<string>> {
  const { rows } = await client.query<{ index: string }>(
    `select s.index - 1 as index, setval(c.oid::regclass, s.value, s.called)
       from unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[]) with ordinality as s(schema, name, value, called, index)
       join pg_namespace n on n.nspname = s.schema join pg_class c on c.relnamespace = n.oid and c.relname = s.name and c.relkind = 'S'
      where ${condition}`,
    [...namesOf(states), states.map(({ lastValue }) => String(lastValue)), states.map(({ isCalled }) => isCalled)],
  );
  const set = new Set(rows.map(({ index }) => Number(index)));
  return new Set(states.filter((_, index) => set.has(index)).map(nameOf));
}
