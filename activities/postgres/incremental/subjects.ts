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
}

export class SourceTables {
  private constructor(
    private readonly tables: ReadonlyMap<string, SelectedTable>,
    private readonly equality: ReadonlyMap<string, string>,
  ) {}

  static async read(source: ClientBase, scope: PostgresScope): Promise<SourceTables> {
    const tables = await listTables(source, scope.tables);
    return new SourceTables(new Map(tables.map((table) => [identityOf(table), table])), await readEquality(source));
  }

  get size(): number {
    return this.tables.size;
  }

  /** @throws PreconditionFailed when the source does not have the table any more */
  subjectOf(table: PassTable): PassSubject & { key?: string[] } {
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
    return {
      relation: {
        ...relation,
        columns: relation.columns.filter(({ name }) => copied.has(name)),
        ...(table.condition === null ? {} : { condition: table.condition }),
      },
      columns: table.columns,
      format: table.format,
      equality: (key ?? []).map(
        (column) => this.equality.get(columnIdentity(found, column)) ?? 'operator(pg_catalog.=)',
      ),
      rows: found.rowsEstimated,
      ...(key ? { key } : {}),
    };
  }

  /** The column that the plan names for the table, or for the partitioned table that it belongs to. */
  updateColumnOf(table: { schema: string; name: string }, settings: IncrementalSettings): UpdateColumn | undefined {
    const found = this.tables.get(identityOf(table));
    const named = found && settings.updateColumns.find((wanted) => belongsTo(found, wanted.table));
    return named && found.columns.find(({ name }) => name === named.column);
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

function belongsTo(table: SelectedTable, name: string): boolean {
  return nameOf(table) === name || table.partitionOf === name;
}
