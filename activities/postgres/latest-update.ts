// When was something last written? Known only where tables keep a column of it: the greatest value over the likeliest of these.
import type { Client } from 'pg';
import { quoteIdentifier, quoteQualified } from './identifier';
import type { SelectedTable } from './tables';

/** Best first: a column of changes says more than one of births. */
const tellingNames = [
  'updated_at',
  'modified_at',
  'last_modified',
  'last_updated',
  'updated',
  'modified',
  'created_at',
  'created',
];
/** An index answers at once; without any, only the largest table is read. */
const indexedAtMost = 20;

interface Candidate {
  table: SelectedTable;
  column: string;
  rank: number;
  indexed: boolean;
}

/** `schema.table.column` and its greatest value, as UTC text; undefined where no table has such a column with a value. */
export async function latestUpdate(
  source: Client,
  tables: SelectedTable[],
): Promise<{ column: string; value: string } | undefined> {
  const candidates = await candidatesOf(source, tables);
  const indexed = candidates.filter((candidate) => candidate.indexed).slice(0, indexedAtMost);
  const [biggest] = [...candidates].sort(
    (left, right) => right.table.bytes - left.table.bytes || left.rank - right.rank,
  );
  const chosen = indexed.length > 0 ? indexed : biggest ? [biggest] : [];
  if (chosen.length === 0) return undefined;
  const selects = chosen.map(({ table: { schema, name }, column }, index) => {
    const quoted = quoteIdentifier(column);
    return `select ${index} as candidate, max(${quoted})::timestamptz as value from only ${quoteQualified(schema, name)} where ${quoted} < 'infinity'`;
  });
  const { rows } = await source.query<{ candidate: string; value: string }>(
    `select candidate, value from (${selects.join(' union all ')}) latest where value is not null order by latest.value desc limit 1`,
  );
  const best = rows[0] && chosen[Number(rows[0].candidate)];
  if (!rows[0] || !best) return undefined;
  return { column: `${best.table.schema}.${best.table.name}.${best.column}`, value: rows[0].value };
}

/** The best column of each table, those of changes before those of births, larger tables first. */
async function candidatesOf(source: Client, tables: SelectedTable[]): Promise<Candidate[]> {
  const { rows } = await source.query<{ table: string; column: string }>(
    `select i.indrelid as table, a.attname as column
     from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
     where i.indisvalid and i.indpred is null and i.indrelid = any($1::oid[])
       and i.indexrelid in (select c.oid from pg_class c join pg_am m on m.oid = c.relam where m.amname = 'btree')`,
    [tables.map(({ oid }) => oid)],
  );
  const leading = new Set(rows.map(({ table, column }) => `${table} ${column}`));
  return tables
    .flatMap((table): Candidate[] => {
      const [best] = table.columns
        .filter(({ name, type }) => tellingNames.includes(name.toLowerCase()) && type.startsWith('timestamp'))
        .map(({ name }) => ({
          table,
          column: name,
          rank: tellingNames.indexOf(name.toLowerCase()),
          indexed: leading.has(`${table.oid} ${name}`),
        }))
        .sort((left, right) => Number(right.indexed) - Number(left.indexed) || left.rank - right.rank);
      return best ? [best] : [];
    })
    .sort((left, right) => left.rank - right.rank || right.table.bytes - left.table.bytes);
}
