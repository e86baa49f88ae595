// The staged rows of a chunk into their table. All at once, as long as every value can be had; otherwise by blocks of rows and, of a block that
// fails, row by row, in the database: what is refused then goes to the rejects, and the rest is taken.
import type { ClientBase } from 'pg';
import { failure } from '../../errors';
import { quoteLiteral, quoteQualified } from '../identifier';
import { ledgerSchema } from '../scope';
import { rejectOf, tooManyRejects } from './rejects';
import { isOfRows, ofRows, withoutValues } from './row-errors';
import { keyText, staging, takeSql, type TransformedTable } from './table';

/** Rows that are tried together before one by one. */
const blockRows = 200;
/** Beyond the limit so many more are looked for, to be told; then nobody needs to know how many rows there are. */
const rejectsBeyond = 100;

export interface Taken {
  rows: number;
  rejects: number;
}

/**
 * Inside the transaction of the chunk; nothing of it may be committed after a failure.
 * @param staged rows in the staging table
 * @throws TooManyRejects when this chunk alone is far beyond the plan's limit
 */
export async function takeStaged(
  target: ClientBase,
  table: TransformedTable,
  chunk: string,
  staged: number,
): Promise<Taken> {
  const into = quoteQualified(table.schema, table.name);
  const all = await takeAll(target, takeSql(table, into));
  const taken = all ?? (await takeWhatCanBe(target, table, chunk, into));
  if (taken.rows + taken.rejects === staged) return taken;
  throw failure(
    'VerificationMismatch',
    `Of ${staged} rows of ${table.transformation.table} the target took ${taken.rows} and refused ${taken.rejects}, which does not add up. Look for rules and triggers on the target's table, and retry.`,
  );
}

async function takeAll(target: ClientBase, insert: string): Promise<Taken | undefined> {
  await target.query('savepoint cutover_take');
  try {
    const { rowCount } = await target.query(insert);
    await target.query('release savepoint cutover_take');
    return { rows: rowCount ?? 0, rejects: 0 };
  } catch (error) {
    if (!isOfRows(error)) throw withoutValues(error);
    await target.query('rollback to savepoint cutover_take');
    return undefined;
  }
}

async function takeWhatCanBe(target: ClientBase, table: TransformedTable, chunk: string, into: string): Promise<Taken> {
  const { transformation } = table;
  const most = transformation.maxRejects + rejectsBeyond;
  await target.query(takingSql(table, chunk, into, most)).catch((error: unknown) => {
    throw withoutValues(error);
  });
  const { rows } = await target.query<{ rows: string }>(`select current_setting('cutover.taken') as rows`);
  const rejects = await target.query<{ count: string }>(
    `select count(*) as count from ${ledgerSchema}.rejects where chunk_id = $1`,
    [chunk],
  );
  const count = Number(rejects.rows[0]?.count);
  if (count > most) {
    const first = await target.query<Parameters<typeof rejectOf>[0]>(
      `select schema_name, table_name, key, column_name, sqlstate, constraint_name
       from ${ledgerSchema}.rejects where chunk_id = $1 order by length(key), key limit 10`,
      [chunk],
    );
    throw tooManyRejects(transformation, `At least ${count}`, first.rows.map(rejectOf));
  }
  return { rows: Number(rows[0]?.rows), rejects: count };
}

/**
 * Every statement is given as text: what the plan's author wrote is read by SQL, never by PL/pgSQL. The cause of a refused row is told by the
 * server for NOT NULL; for the rest each expression is tried by itself.
 */
function takingSql(table: TransformedTable, chunk: string, into: string, most: number): string {
  const insert = takeSql(table, into);
  const changed = table.taken.filter((column) => column.changed);
  // Into variables of the types in which they are stored: as on storing, what is too long is refused, where a cast would cut it.
  const variables = changed.map(({ stored }, index) => (stored === null ? '' : `value_${index} ${stored};`)).join(' ');
  const tries = changed
    .map(({ name, value, stored }, index) => {
      // Into a composite variable its fields would be read, not the value.
      const into = stored === null ? '' : `into value_${index}`;
      const query = quoteLiteral(`select ${value} from ${staging} where ctid = $1`);
      return `if said_column = '' then begin execute ${query} ${into} using one;
            exception when ${ofRows} then said_column := ${quoteLiteral(name)}; end; end if;`;
    })
    .join('\n          ');
  return `do language plpgsql ${quoteLiteral(`
declare
  block tid[]; one tid; taken bigint := 0; added bigint; refused bigint := 0;
  said_state text; said_column text; said_constraint text;
  ${variables}
begin
  <<blocks>>
  for block in
    select array_agg(numbered.at) from (select ctid as at, (row_number() over () - 1) / ${blockRows} as part from ${staging}) as numbered group by part
  loop
    begin
      execute ${quoteLiteral(`${insert} where ctid = any($1)`)} using block;
      get diagnostics added = row_count;
      taken := taken + added;
    exception when ${ofRows} then
      foreach one in array block loop
        begin
          execute ${quoteLiteral(`${insert} where ctid = $1`)} using one;
          taken := taken + 1;
        exception when ${ofRows} then
          get stacked diagnostics said_state = returned_sqlstate, said_column = column_name, said_constraint = constraint_name;
          ${tries}
          execute ${quoteLiteral(
            `insert into ${ledgerSchema}.rejects (chunk_id, schema_name, table_name, key, column_name, sqlstate, constraint_name)
             select ${Number(chunk)}, ${quoteLiteral(table.schema)}, ${quoteLiteral(table.name)}, ${keyText(table)}, nullif($2, ''), $3,
               case when $3 like '23%' then nullif($4, '') end
             from ${staging} where ctid = $1`,
          )} using one, said_column, said_state, said_constraint;
          refused := refused + 1;
          exit blocks when refused > ${most};
        end;
      end loop;
    end;
  end loop;
  perform set_config('cutover.taken', taken::text, true);
end`)}`;
}
