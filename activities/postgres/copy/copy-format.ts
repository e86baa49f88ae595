// Binary or text, table by table, and the COPY statements that follow from it. Binary is faster and exact, but some binary forms
// hold oids of the server they come from or have changed between major versions: only types known to be the same everywhere go binary.
import type { ClientBase } from 'pg';
import { quoteIdentifier, quoteQualified } from '../identifier';
import type { Chunk, TablePlan } from './chunk-ledger';

/**
 * Types whose binary form holds nothing but the value. Not here: reg* and xid (oids of one server), enums, composites (oids inside),
 * xml (carries an encoding), tsquery and multiranges (too rare to be worth the risk), and everything that an extension brings.
 */
const safeTypes: ReadonlySet<string> = new Set(
  `bool bytea char int2 int4 int8 oid float4 float8 numeric money text varchar bpchar name json jsonb uuid
   date time timetz timestamp timestamptz interval inet cidr macaddr macaddr8 bit varbit
   point lseg path box polygon line circle tsvector pg_lsn
   int4range int8range numrange daterange tsrange tstzrange`.split(/\s+/),
);

/** For every session that copies or compares: the text of money depends on the first, what is taken as xml on the second. */
export const valueSettings = { lc_monetary: 'C', xmloption: 'content' } as const;

interface TypeRow {
  oid: string;
  name: string;
  builtin: string;
  kind: string;
  base: string;
  element: string;
  array: string;
}

/** The types of one server. Built-in oids are the same on every server; others are never sent as binary. */
export class BinaryTypes {
  private constructor(private readonly types: ReadonlyMap<string, TypeRow>) {}

  static async read(client: ClientBase): Promise<BinaryTypes> {
    const { rows } = await client.query<TypeRow>(`
      select t.oid, t.typname as name, (t.typnamespace = 'pg_catalog'::regnamespace and t.oid < 10000) as builtin,
        t.typtype as kind, t.typbasetype as base, t.typelem as element, (t.typcategory = 'A') as array
      from pg_type t where t.oid < 10000 or t.typtype = 'd'`);
    return new BinaryTypes(new Map(rows.map((row) => [row.oid, row])));
  }

  /** The built-in type whose binary form the values have; undefined when they must go as text. */
  binaryForm(oid: string): string | undefined {
    const type = this.types.get(oid);
    if (!type) return undefined;
    if (type.kind === 'd') return this.binaryForm(type.base);
    if (type.builtin !== 't') return undefined;
    if (type.array === 't')
      return this.types.get(type.element)?.kind !== 'd' && this.isSafe(type.element) ? oid : undefined;
    return this.isSafe(oid) ? oid : undefined;
  }

  private isSafe(oid: string): boolean {
    const type = this.types.get(oid);
    return type?.builtin === 't' && safeTypes.has(type.name);
  }
}

/** `copy … to stdout` for the source. */
export function copyOutSql({ table, kind, lower, upper }: Chunk): string {
  const columns = table.columns.map(quoteIdentifier).join(', ');
  const name = quoteQualified(table.schema, table.name);
  const options = `(format ${table.format})`;
  if (kind === 'table' && !table.condition && columns) return `copy ${name} (${columns}) to stdout ${options}`;
  const from = `select ${columns} from only ${name}`;
  if (kind === 'table') return `copy (${from} ${table.condition ?? ''}) to stdout ${options}`;
  const below = upper === null ? '' : ` and ctid < '(${upper},0)'::tid`;
  return `copy (${from} where ctid >= '(${lower ?? 0},0)'::tid${below}) to stdout ${options}`;
}

/** `copy … from stdin` for the target. `freeze` only where the table was truncated in the same transaction. */
export function copyIntoSql(table: TablePlan, freeze: boolean): string {
  const columns = table.columns.map(quoteIdentifier).join(', ');
  const list = columns ? ` (${columns})` : '';
  return `copy ${quoteQualified(table.schema, table.name)}${list} from stdin (format ${table.format}${freeze ? ', freeze' : ''})`;
}
