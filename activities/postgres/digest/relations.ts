// What is compared: every selected table, and materialized views. Partitioned parents hold no rows of their own.
import type { Client, ClientBase } from 'pg';
import { ledgerSchema } from '../scope';
import type { PostgresScope } from '../scope';
import { readExcluded } from '../schema/excluded';
import { listTables, type SelectedTable } from '../tables';

export interface Relation {
  schema: string;
  name: string;
  /** Sorted by name, generated ones included. */
  columns: { name: string; type: string }[];
  key?: string[];
  /** `WHERE …` of an extension's configuration table: the rows that are the user's own. */
  condition?: string;
  bytes: number;
  pages: number;
}

/** `schema.table`, as people write it. */
export function nameOf({ schema, name }: { schema: string; name: string }): string {
  return `${schema}.${name}`;
}

/** The same for one table only, dots in names or not: for maps. */
export function identityOf({ schema, name }: { schema: string; name: string }): string {
  return JSON.stringify([schema, name]);
}

/**
 * Column names and types in one line: part of a table's digest, since equal values of other columns are not equal rows. Types without quotes
 * where their names are simple ones: what is a keyword, and so is quoted, differs between versions.
 */
export function headerOf({ columns }: Relation): string {
  return columns.map(({ name, type }) => `${name} ${type.replaceAll(/"([a-z_][a-z0-9_]*)"/g, '$1')}`).join(', ');
}

/** The selected tables, in order of schema and name. */
export async function listRelations(client: ClientBase, { tables: selection }: PostgresScope): Promise<Relation[]> {
  return (await listTables(client, selection)).map(relationOf);
}

export function relationOf({ schema, name, columns, key, extensionCondition, bytes, pages }: SelectedTable): Relation {
  return {
    schema,
    name,
    columns: columns.map((column) => ({ name: column.name, type: column.type })).sort(byName),
    ...(key ? { key } : {}),
    ...(extensionCondition ? { condition: extensionCondition } : {}),
    bytes,
    pages,
  };
}

/** A materialized view: its content, and the query that it is the content of. */
export interface MaterializedView extends Relation {
  populated: boolean;
  query: string;
}

/** The materialized views that travel: all but those over tables that are left out. In order of schema and name. */
export async function listMaterializedViews(
  client: Client,
  { tables: selection }: PostgresScope,
): Promise<MaterializedView[]> {
  const { rows } = await client.query<
    Record<'schema' | 'name' | 'columns' | 'bytes' | 'pages' | 'populated' | 'query', string>
  >(
    `select n.nspname as schema, c.relname as name, pg_table_size(c.oid) as bytes, c.relispopulated as populated,
       rtrim(pg_get_viewdef(c.oid), E' ;\n') as query,
       pg_relation_size(c.oid) / current_setting('block_size')::int as pages,
       (select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) order by a.attnum)
        from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind = 'm' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', $1)
       and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
     order by n.nspname collate "C", c.relname collate "C"`,
    [ledgerSchema],
  );
  const leftOut = new Set((await readExcluded(client, selection)).map(identityOf));
  return rows
    .filter((view) => !leftOut.has(identityOf(view)))
    .map(({ schema, name, columns, bytes, pages, populated, query }) => ({
      schema,
      name,
      columns: (JSON.parse(columns) as Relation['columns']).sort(byName),
      bytes: Number(bytes),
      pages: Number(pages),
      populated: populated === 't',
      query,
    }));
}

/** By code unit, so that both sides sort alike whatever their collations. */
function byName(left: { name: string }, right: { name: string }): number {
  return left.name < right.name ? -1 : 1;
}
