// What is compared while it moves: every selected table that is on both sides with the same columns, and how its rows are found again
// by key. What cannot be compared row by row (one side only, other columns) is judged at once; unlogged tables have no stream.
import type { ClientBase } from 'pg';
import type { Verdict } from '../digest/compare';
import { columnDifference } from '../digest/compare';
import { headerOf, identityOf, nameOf, relationOf, type Relation } from '../digest/relations';
import { quoteIdentifier } from '../identifier';
import type { PostgresScope } from '../scope';
import type { WritingSide } from '../stream/names';
import { listTables, matchesPattern, type SelectedTable } from '../tables';

/** A table on one side, as its rows are digested and found. */
export interface SubjectSide {
  /** The columns that are compared; the key is the same on both sides. */
  relation: Relation;
  /** The equality operator of each column of the key, schema-qualified: what the key's index can be asked for. */
  equality: string[];
}

export interface Subject {
  schema: string;
  name: string;
  /** `rows`: every column. `keys`: the columns of the key alone, for tables that the plan does not ask to be digested. */
  mode: 'rows' | 'keys';
  keyed: boolean;
  header: string;
  source: SubjectSide;
  target: SubjectSide;
  /** On both sides together. */
  bytes: number;
  /** Estimated, of the larger side. */
  rows: number;
}

export interface Subjects {
  /** In order of schema and name. */
  subjects: Subject[];
  /** Tables that are unequal without a look at their rows. */
  judged: Verdict[];
  /** Names, `schema.table`. */
  unlogged: string[];
}

/**
 * @param writing its keys are taken, and its unlogged tables left out: what it does not log, no stream carries
 * @param unlogged they are compared like the others: nothing is streamed
 */
export async function listSubjects(
  clients: Record<WritingSide, ClientBase>,
  scope: PostgresScope,
  writing: WritingSide,
  checksum: 'all' | string[],
  unlogged: 'left-out' | 'compared' = 'left-out',
): Promise<Subjects> {
  const [[source, onSource], [target, onTarget]] = await Promise.all([
    readSide(clients.source, scope),
    readSide(clients.target, scope),
  ]);
  const there = new Map(target.map((table) => [identityOf(table), table]));
  const found: Subjects = { subjects: [], judged: [], unlogged: [] };
  for (const here of source) {
    const identity = identityOf(here);
    const other = there.get(identity);
    there.delete(identity);
    if (!other) {
      found.judged.push(unequal(here, 'is missing on the target'));
      continue;
    }
    if (unlogged === 'left-out' && (writing === 'source' ? here : other).persistence === 'u') {
      found.unlogged.push(nameOf(here));
      continue;
    }
    const header = headerOf(relationOf(here));
    const otherHeader = headerOf(relationOf(other));
    if (header !== otherHeader) {
      found.judged.push(unequal(here, `has other columns: ${columnDifference(header, otherHeader)}`));
      continue;
    }
    const key = (writing === 'source' ? here : other).key;
    const isDigested =
      checksum === 'all' || checksum.some((pattern) => matchesPattern(pattern, here.schema, here.name));
    const side = (table: SelectedTable, equality: Map<string, string>): SubjectSide =>
      sideOf(table, key, equality, isDigested);
    found.subjects.push({
      schema: here.schema,
      name: here.name,
      mode: isDigested || !key ? 'rows' : 'keys',
      keyed: Boolean(key),
      header,
      source: side(here, onSource),
      target: side(other, onTarget),
      bytes: here.bytes + other.bytes,
      rows: Math.max(here.rowsEstimated, other.rowsEstimated),
    });
  }
  for (const extra of there.values()) found.judged.push(unequal(extra, 'exists only on the target'));
  return found;
}

async function readSide(client: ClientBase, scope: PostgresScope): Promise<[SelectedTable[], Map<string, string>]> {
  const tables = await listTables(client, scope.tables);
  return [tables, await readEquality(client)];
}

function sideOf(
  table: SelectedTable,
  key: string[] | undefined,
  equality: Map<string, string>,
  isDigested: boolean,
): SubjectSide {
  const relation: Relation = { ...relationOf(table), key };
  if (!key) return { relation, equality: [] };
  return {
    relation: {
      ...relation,
      columns: isDigested ? relation.columns : relation.columns.filter(({ name }) => key.includes(name)),
    },
    equality: key.map((column) => equality.get(columnIdentity(table, column)) ?? 'operator(pg_catalog.=)'),
  };
}

function unequal({ schema, name, bytes }: SelectedTable, why: string): Verdict {
  return {
    table: nameOf({ schema, name }),
    schema,
    name,
    outcome: 'unequal',
    digested: true,
    why,
    comparable: false,
    bytes,
  };
}

/** Equality of types that extensions bring is not in pg_catalog, and is not found under an empty search_path. */
const equalitySql = `
select n.nspname as schema, c.relname as name, a.attname as column, opn.nspname as operator_schema, o.oprname as operator
from pg_index i
join pg_class c on c.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace
cross join lateral unnest(i.indkey::int2[], i.indclass::oid[]) as k(attnum, opclass)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
join pg_opclass oc on oc.oid = k.opclass
join pg_am am on am.oid = oc.opcmethod and am.amname = 'btree'
join pg_amop ao on ao.amopfamily = oc.opcfamily and ao.amopstrategy = 3
  and ao.amoplefttype = oc.opcintype and ao.amoprighttype = oc.opcintype
join pg_operator o on o.oid = ao.amopopr
join pg_namespace opn on opn.oid = o.oprnamespace
where i.indisunique and opn.nspname <> 'pg_catalog'`;

/** Of columns of unique indexes (see `columnIdentity`), the operator where it is not that of pg_catalog. */
export async function readEquality(client: ClientBase): Promise<Map<string, string>> {
  const { rows } =
    await client.query<Record<'schema' | 'name' | 'column' | 'operator_schema' | 'operator', string>>(equalitySql);
  return new Map(
    rows.map(({ schema, name, column, operator_schema, operator }) => [
      columnIdentity({ schema, name }, column),
      `operator(${quoteIdentifier(operator_schema)}.${operator})`,
    ]),
  );
}

export function columnIdentity({ schema, name }: { schema: string; name: string }, column: string): string {
  return JSON.stringify([schema, name, column]);
}
