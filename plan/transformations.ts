// Tables whose columns are other ones on the target. What is asked of a column is SQL, carried out in the database on the way; what a table is
// called, and which rows it has, stays as it is.
import { z } from 'zod';

/** Longer names are cut by PostgreSQL without a word. */
const nameBytes = 63;

const columnName = z
  .string()
  .min(1)
  .refine((name) => bytesOf(name) <= nameBytes, `expected a name of at most ${nameBytes} bytes`);

const columnSchema = z.strictObject({
  /** The name on the target. */
  rename: columnName.optional(),
  /** The type on the target; without `expression` the column is cast to it. */
  type: z.string().min(1).optional(),
  /** SQL over the columns of the source's row, by their names there: `created at time zone 'Europe/Berlin'`. */
  expression: z.string().min(1).optional(),
  /** Whether the target takes NULL; without it, as on the source. */
  notNull: z.boolean().optional(),
  /** SQL of the default on the target, null for none; without it the source's, cast to the type. */
  default: z.string().min(1).nullable().optional(),
  /** The target does not have the column. Expressions of others may still use it. */
  drop: z.literal(true).optional(),
});
export type ColumnTransformation = z.infer<typeof columnSchema>;

const transformationSchema = z.strictObject({
  /** Exact, unquoted names; no wildcards. */
  table: z
    .string()
    .regex(/^[^.*?]+\.[^*?]+$/, 'expected "schema.table" without wildcards, for instance "public.orders"'),
  /** By their names on the source; columns that are not named stay as they are. */
  columns: z.record(columnName, columnSchema),
  /** So many rows of the table may be refused by their expressions; one more stops the copy. */
  maxRejects: z.number().int().nonnegative().default(0),
});
export type Transformation = z.infer<typeof transformationSchema>;

export const transformationsSchema = z.array(transformationSchema).superRefine((transformations, context) => {
  const refuse = (path: (string | number)[], input: unknown, message: string): void =>
    context.addIssue({ code: 'custom', path, input, message });
  transformations.forEach(({ table, columns }, index) => {
    if (transformations.findIndex((other) => other.table === table) < index)
      refuse([index, 'table'], table, 'expected each table once: put all of its columns into one entry');
    if (Object.keys(columns).length === 0)
      refuse([index, 'columns'], columns, 'expected at least one column: without any the table is copied as it is');
    const names = new Map<string, string>();
    for (const [column, asked] of Object.entries(columns)) {
      const path = [index, 'columns', column];
      const wanted = Object.keys(asked).filter((key) => asked[key as keyof ColumnTransformation] !== undefined);
      if (wanted.length === 0)
        refuse(path, asked, 'expected at least one of rename, type, expression, notNull, default, drop');
      if (asked.drop && wanted.length > 1)
        refuse(path, asked, 'expected drop alone: a column that the target does not have cannot be changed');
      if (asked.rename === undefined) continue;
      if (asked.rename === column) refuse([...path, 'rename'], column, 'expected another name than on the source');
      const other = names.get(asked.rename);
      if (other !== undefined)
        refuse([...path, 'rename'], asked.rename, `expected another name: "${other}" is renamed to it as well`);
      names.set(asked.rename, column);
    }
  });
});

/** In UTF-8; without Node, since workflows parse plans too. */
function bytesOf(text: string): number {
  return encodeURIComponent(text).replaceAll(/%[0-9A-F]{2}/g, '.').length;
}

/** `schema.table` in its two parts: a schema has no dot in its name here, a table may. */
export function tableOf({ table }: Transformation): { schema: string; name: string } {
  const dot = table.indexOf('.');
  return { schema: table.slice(0, dot), name: table.slice(dot + 1) };
}
