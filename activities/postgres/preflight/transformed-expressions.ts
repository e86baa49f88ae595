// Types, defaults and expressions of transformations, planned on the source as the copy will evaluate them on the target: over the staged row and
// nothing else. Then evaluated over some rows, twice, for what no plan shows: rows that are refused, and values that are others each time.
import { DatabaseError, type Client } from 'pg';
import { tableOf, type Transformation } from '../../../plan/transformations';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../identifier';
import { singleStatement } from '../single-statement';
import type { SelectedTable } from '../tables';
import { isOfRows, ofRows } from '../transform/row-errors';
import { listed, pass, type Finding } from './check';
import type { CheckContext } from './context';

/** Rows on which an expression is tried. */
const sampled = 1_000;
const alias = 'cutover_staging';

/** One column that changes, as SQL. */
interface Value {
  /** `public.orders.created` */
  shown: string;
  qualified: string;
  /** What is staged of the source's row. */
  columns: string;
  sql: string;
}

/** What is wrong, and what merely should be known. */
class Findings {
  readonly wrong: string[] = [];
  readonly remarks: string[] = [];
}

export async function expressions(context: CheckContext): Promise<Finding> {
  const selected = await context.tables();
  const findings = new Findings();
  const values: Value[] = [];
  for (const transformation of context.input.transformations ?? []) {
    const table = selected.find((one) => `${one.schema}.${one.name}` === transformation.table);
    values.push(...(await planColumns(context, transformation, table, findings)));
  }
  if (findings.wrong.length === 0) await trySample(context, values, findings);
  const { wrong, remarks } = findings;
  if (wrong.length > 0) {
    return {
      outcome: 'fail',
      found: listed([...wrong, ...remarks], '; '),
      expected:
        'SQL over the columns of the source, not generated ones and no other tables, which gives the same each time; functions and types that are not built in with their schema',
      fix: 'correct plan.transformations; a type that is new is made on the source, from where it travels with the schema',
    };
  }
  if (remarks.length > 0) {
    return {
      outcome: 'warn',
      found: listed(remarks, '; '),
      expected: `an expression with "at time zone '…'" where a zone comes or goes, and rows that can be taken`,
    };
  }
  return pass('each can be planned on the source');
}

/** @returns those that can be tried on rows */
async function planColumns(
  context: CheckContext,
  transformation: Transformation,
  found: SelectedTable | undefined,
  findings: Findings,
): Promise<Value[]> {
  const { table, columns } = transformation;
  const { schema, name } = tableOf(transformation);
  const qualified = quoteQualified(schema, name);
  const staged = (found?.columns ?? [])
    .filter(({ generated }) => !generated)
    .map((column) => quoteIdentifier(column.name))
    .join(', ');
  const values: Value[] = [];
  for (const [column, { type, expression, default: value }] of Object.entries(columns)) {
    const shown = `${table}.${column}`;
    if (typeof value === 'string') await plan(context, `select (${value}\n)`, `default of ${shown}`, findings);
    const known =
      type === undefined || (await plan(context, `select null::${type}`, `type of ${shown}`, findings)) !== undefined;
    const changes = expression !== undefined || type !== undefined;
    // What is the matter with the column itself, the check of tables tells.
    if (!changes || !known || !found?.columns.some((one) => one.name === column && !one.generated)) continue;
    const plain = expression === undefined ? quoteIdentifier(column) : `(${expression}\n)`;
    const sql = type === undefined ? plain : `${plain}::${type}`;
    const from = `from (select ${staged} from only ${qualified} as ${alias}) as ${alias}`;
    // In a WHERE neither aggregates nor functions that give several rows are allowed.
    const planned = await plan(context, `select ${from} where ${sql} is null`, shown, findings);
    if (planned === undefined) continue;
    const others = [...new Set(relationsOf(planned).filter((relation) => relation.alias !== alias))];
    if (others.length > 0) {
      findings.wrong.push(
        `${shown} reads ${listed(others.map((other) => other.name))}, which is not filled on the target when its expression is evaluated`,
      );
      continue;
    }
    const wanted = type === undefined ? quoteIdentifier(column) : `null::${type}`;
    await lookAtTypes(
      context,
      { shown, column, type, qualified },
      `select ${plain}, ${wanted} ${from} limit 0`,
      findings,
    );
    values.push({ shown, qualified, columns: staged, sql });
  }
  return values;
}

/** Planned as the copy will: without a search_path, in UTC. @returns the plan, undefined when there is none */
async function plan(context: CheckContext, sql: string, what: string, { wrong }: Findings): Promise<unknown> {
  return inTransaction(context, async (session) => {
    const { rows } = await session.query<{ 'QUERY PLAN': string }>(
      singleStatement(`explain (verbose, format json) ${sql}`),
    );
    return JSON.parse(rows[0]?.['QUERY PLAN'] ?? 'null') as unknown;
  }).catch((error: unknown) => {
    context.signal.throwIfAborted();
    wrong.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  });
}

async function inTransaction<Result>(
  context: CheckContext,
  work: (session: Client) => Promise<Result>,
): Promise<Result> {
  const session = context.session('source');
  await session.query('begin transaction read only');
  try {
    return await work(session);
  } finally {
    await session.query('rollback');
  }
}

/** Every table that a plan reads, sub-selects included. */
function relationsOf(node: unknown): { name: string; alias: string }[] {
  if (Array.isArray(node)) return node.flatMap(relationsOf);
  if (typeof node !== 'object' || node === null) return [];
  const here =
    'Relation Name' in node && 'Alias' in node
      ? [{ name: String(node['Relation Name']), alias: String(node.Alias) }]
      : [];
  return [...here, ...Object.values(node).flatMap(relationsOf)];
}

const zoned: Record<number, boolean> = { 1082: false, 1083: false, 1114: false, 1184: true, 1266: true };
const names: Record<number, string> = {
  25: 'text',
  1042: 'character',
  1043: 'character varying',
  1082: 'date',
  1083: 'time without time zone',
  1114: 'timestamp without time zone',
  1184: 'timestamp with time zone',
  1266: 'time with time zone',
};
const texts = [25, 1042, 1043];
const timestamptz = 1184;

/** By the oids of built-in types, which are the same everywhere; of a domain the server gives the type beneath it. */
async function lookAtTypes(
  context: CheckContext,
  { shown, column, type, qualified }: { shown: string; column: string; type?: string; qualified: string },
  sql: string,
  { wrong, remarks }: Findings,
): Promise<void> {
  const { fields } = await inTransaction(context, (session) => session.query(singleStatement(sql)));
  const [from = 0, to = 0] = fields.map(({ dataTypeID }) => dataTypeID);
  const changesZone = from in zoned && to in zoned && zoned[from] !== zoned[to];
  if (changesZone || (from === timestamptz && texts.includes(to)))
    remarks.push(
      `${shown} is cast from ${names[from]} to ${names[to]} as UTC; an expression would say which zone is meant`,
    );
  if (type === undefined || /\bcollate\b/i.test(type)) return;
  const lost = await context.value(
    'source',
    `select format('%I.%I', n.nspname, l.collname) from pg_attribute a join pg_type t on t.oid = a.atttypid
     join pg_collation l on l.oid = a.attcollation join pg_namespace n on n.oid = l.collnamespace
     where a.attrelid = to_regclass($1) and a.attname = $2 and a.attcollation <> t.typcollation
       and exists (select from pg_type where oid = $3 and typcollation <> 0)`,
    [qualified, column, to],
  );
  if (lost !== null)
    wrong.push(`${shown} would lose its collation: write it into its type, ${type} collate ${lost}, or another one`);
}

/** On the same rows in two transactions: what depends on the time, on chance or on a sequence is another value then. */
async function trySample(context: CheckContext, values: Value[], findings: Findings): Promise<void> {
  if (values.length === 0) return;
  const one = context.session('source');
  const other = await context.open(context.input.scope.source, 'source');
  try {
    for (const session of [one, other]) {
      await session.query('begin transaction isolation level repeatable read, read only');
      if (session === other) await session.query(`set transaction snapshot ${quoteLiteral(await snapshotOf(one))}`);
      // In one order, and for as long as the other session takes.
      await session.query(
        "set local synchronize_seqscans = off; set local max_parallel_workers_per_gather = 0; set local idle_in_transaction_session_timeout = 0; set local statement_timeout = '20s'",
      );
    }
    for (const value of values) {
      context.signal.throwIfAborted();
      await tryValue([one, other], value, findings);
    }
  } finally {
    await one.query('rollback');
    await other.end().catch(() => undefined);
  }
}

async function snapshotOf(session: Client): Promise<string> {
  const { rows } = await session.query<{ snapshot: string }>('select pg_export_snapshot() as snapshot');
  return rows[0]?.snapshot ?? '';
}

async function tryValue(sessions: [Client, Client], value: Value, { wrong, remarks }: Findings): Promise<void> {
  const { shown, qualified, columns, sql } = value;
  const rows = `(select ${columns} from only ${qualified} as ${alias} limit ${sampled}) as ${alias}`;
  const digests: (string | undefined)[] = [];
  for (const session of sessions) {
    await session.query('savepoint sample');
    try {
      const found = await session.query<{ digest: string }>(
        singleStatement(`select md5(string_agg(md5(coalesce((${sql})::text, '')), '')) as digest from ${rows}`),
      );
      digests.push(found.rows[0]?.digest);
    } catch (error) {
      if (!(error instanceof DatabaseError) || /^(08|57P)/.test(error.code ?? '')) throw error;
      await session.query('rollback to savepoint sample');
      // Never the message: it may quote the row.
      const said = `(SQLSTATE ${error.code})`;
      if (isOfRows(error)) remarks.push(`${shown} refuses ${await countRefused(session, value)} ${said}`);
      else if (error.code === '57014') remarks.push(`${shown} could not be tried on rows in time ${said}`);
      else if (error.code === '25006') wrong.push(`${shown} writes, a sequence perhaps ${said}`);
      else wrong.push(`${shown} cannot be evaluated ${said}`);
      return;
    }
    await session.query('release savepoint sample');
  }
  if (digests[0] !== digests[1]) wrong.push(`${shown} gives another value each time, so it could not be proved`);
}

/** @returns "3 of the first 1000 rows" */
async function countRefused(session: Client, { qualified, columns, sql }: Value): Promise<string> {
  const evaluation = `select (${sql})::text from (select ${columns} from only ${qualified} as ${alias} where ctid = $1) as ${alias}`;
  try {
    await session.query(
      `do language plpgsql ${quoteLiteral(`
declare one tid; tried int := 0; refused int := 0;
begin
  for one in select ctid from only ${qualified} limit ${sampled} loop
    tried := tried + 1;
    begin
      execute ${quoteLiteral(evaluation)} using one;
    exception when ${ofRows} then
      refused := refused + 1;
    end;
  end loop;
  perform set_config('cutover.refused', refused || ' of the first ' || tried || ' rows', true);
end`)}`,
    );
    const { rows } = await session.query<{ refused: string }>(`select current_setting('cutover.refused') as refused`);
    return rows[0]?.refused ?? 'rows';
  } catch (error) {
    if (!(error instanceof DatabaseError) || /^(08|57P)/.test(error.code ?? '')) throw error;
    await session.query('rollback to savepoint sample');
    return `some of the first ${sampled} rows`;
  }
}
