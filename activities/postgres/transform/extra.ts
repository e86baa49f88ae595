// Which rows of the target come from no row of the source: by all keys of the source, and only once the numbers do not add up.
import type { Client } from 'pg';
import { copyFailure } from '../copy/copy-errors';
import { streamRows, StreamError } from '../copy/copy-stream';
import { shortened } from '../digest/bisect';
import { quoteIdentifier, quoteQualified } from '../identifier';
import { linesShown } from './piece';
import { withoutValues } from './row-errors';
import { isRejectedSql, sameKeySql, staging, stageTransformed, type TransformedTable } from './table';

/** @throws SourceUnavailable, TargetUnavailable (retryable) */
export async function extraKeys(source: Client, target: Client, table: TransformedTable): Promise<string[]> {
  const { key, schema, name } = table;
  const qualified = quoteQualified(schema, name);
  const columns = key.map(quoteIdentifier).join(', ');
  const valueOf = (column: string): string =>
    table.taken.find((one) => one.name === column)?.value ?? quoteIdentifier(column);
  await target.query('begin');
  try {
    const into = await stageTransformed(target, table, key, 'text');
    await streamRows({ source, target, out: `copy (select ${columns} from only ${qualified}) to stdout`, into });
    // Of a rejected row it may be the key that cannot be cast.
    await target.query(`delete from ${staging} where ${isRejectedSql(table)}`);
    const values = key.map((column) => `${valueOf(column)} as ${quoteIdentifier(column)}`).join(', ');
    const same = sameKeySql(table, 's', 't');
    const { rows } = await target.query<{ key: string }>(
      `select row(${key.map((column) => `t.${quoteIdentifier(column)}`).join(', ')})::text as key from only ${qualified} as t
       where not exists (select from (select ${values} from ${staging}) as s where ${same}) limit ${linesShown}`,
    );
    return rows.map((row) => shortened(row.key));
  } catch (error) {
    throw copyFailure(
      error instanceof StreamError ? error : withoutValues(error),
      `Looking for rows of ${table.transformation.table} that only the target has`,
    );
  } finally {
    await target.query('rollback').catch(() => undefined);
  }
}
