// The tables of the source as a pass knows them: which columns travel, by which key rows are found again, which column tells of changes.
import type { ClientBase } from 'pg';
import type { IncrementalSettings } from '../../../plan/incremental';
import { failure } from '../../errors';
import { identityOf, nameOf, relationOf } from '../digest/relations';
import { columnIdentity, readEquality } from '../moving/subjects';
import type { PostgresScope } from '../scope';
import { listTables, type SelectedTable } from '../tables';
import type { PassTable } from './ledger';
import type { PassSubject } from './table-pass';
import { isUpdateColumn } from './sql';

export interface UpdateColumn {
  name: string;
  type: string;
  /** An index begins with it. */
  isIndexed: boolean;
}

export class SourceTables {
  private constructor(
    private readonly tables: ReadonlyMap<string, SelectedTable>,
    private readonly equality: ReadonlyMap<string, string>,
    private readonly storage: ReadonlyMap<string, Storage>,
  ) {}

  static async read(source: ClientBase, scope: PostgresScope): Promise<SourceTables> {
    const tables = await listTables(source, scope.tables);
    return new SourceTables(
      new Map(tables.map((table) => [identityOf(table), table])),
      await readEquality(source),
      await readStorage(source),
    );
  }

  get size(): number {
    return this.tables.size;
  }

  /** @throws PreconditionFailed when the source does not have the table any more */
  subjectOf(table: PassTable): PassSubject & { hasRowVersions: boolean } {
    const found = this.tables.get(identityOf(table));
    if (!found) {
      throw failure(
        'PreconditionFailed',
        `${nameOf(table)} is gone from the source, or was renamed. Keep changes of the schema away during the migration: undo this one, or roll back and begin anew.`,
      );
    }
    const relation = relationOf(found);
    const copied = new Set(table.columns);
    const { key } = found;
    const hasRowVersions = this.storage.get(identityOf(table))?.isHeap ?? false;
    return {
      relation: {
        ...relation,
        columns: relation.columns.filter(({ name }) => copied.has(name)),
        ...(table.condition === null ? {} : { condition: table.condition }),
        // What a tuple id means in other storage is its own business: such a table is read in one.
        ...(hasRowVersions ? {} : { pages: 0 }),
      },
      columns: table.columns,
      format: table.format,
      equality: (key ?? []).map(
        (column) => this.equality.get(columnIdentity(found, column)) ?? 'operator(pg_catalog.=)',
      ),
      rows: found.rowsEstimated,
      hasRowVersions,
    };
  }

  /** The column that the plan names for the table, or for the partitioned table that it belongs to. */
  updateColumnOf(table: { schema: string; name: string }, settings: IncrementalSettings): UpdateColumn | undefined {
    const found = this.tables.get(identityOf(table));
    const named = found && settings.updateColumns.find((wanted) => belongsTo(found, wanted.table));
    const column = named && found.columns.find(({ name }) => name === named.column);
    const leading = this.storage.get(identityOf(table))?.leadingColumns ?? [];
    return column && { name: column.name, type: column.type, isIndexed: leading.includes(column.name) };
  }

  /** Names `schema.table` of the list that are no selected table, and no partitioned one with leaves. */
  unknown(names: string[]): string[] {
    const all = [...this.tables.values()];
    return names.filter((name) => !all.some((table) => belongsTo(table, name)));
  }

  /** Whether the table is one of those named, or a partition of one. */
  isAmong(table: { schema: string; name: string }, names: string[]): boolean {
    const found = this.tables.get(identityOf(table));
    return found !== undefined && names.some((name) => belongsTo(found, name));
  }

  /** @throws PreconditionFailed when a column of the plan is not there or says nothing about time */
  requireUpdateColumns({ updateColumns }: IncrementalSettings): void {
    for (const { table: name, column } of updateColumns) {
      const tables = [...this.tables.values()].filter((table) => belongsTo(table, name));
      const types = tables.map((table) => table.columns.find((one) => one.name === column)?.type);
      if (tables.length > 0 && types.every((type) => type !== undefined && isUpdateColumn(type))) continue;
      const found =
        tables.length === 0
          ? 'no such table'
          : (types.find((type) => !type || !isUpdateColumn(type)) ?? 'no such column');
      throw failure(
        'PreconditionFailed',
        `plan.incremental.updateColumns names ${name}.${column}: found ${found}; expected a column of type timestamptz, timestamp or date of a selected table. Correct the plan, or leave the table out of updateColumns: its changes are then found by row version.`,
      );
    }
  }
}

interface Storage {
  /** The storage that PostgreSQL comes with: what is known of row versions is known of this one. */
  isHeap: boolean;
  /** Of indexes over all rows. */
  leadingColumns: string[];
}

const storageSql = `
select n.nspname as schema, c.relname as name, coalesce(am.amname = 'heap', false) as heap,
  (select json_agg(a.attname)
   from pg_index i
   join pg_class ic on ic.oid = i.indexrelid
   join pg_am iam on iam.oid = ic.relam and iam.amname = 'btree'
   join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
   where i.indrelid = c.oid and i.indisvalid and i.indpred is null) as leading
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
left join pg_am am on am.oid = c.relam
where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`;

async function readStorage(source: ClientBase): Promise<Map<string, Storage>> {
  const { rows } = await source.query<{ schema: string; name: string; heap: string; leading: string | null }>(
    storageSql,
  );
  return new Map(
    rows.map(({ schema, name, heap, leading }) => [
      identityOf({ schema, name }),
      { isHeap: heap === 't', leadingColumns: JSON.parse(leading ?? '[]') as string[] },
    ]),
  );
}

function belongsTo(table: SelectedTable, name: string): boolean {
  return nameOf(table) === name || table.partitionOf === name;
}
