// The one place where names become SQL.

/** `Order"s` -> `"Order""s"`: always quoted, so case and reserved words do not matter. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Two-part names of tables, indexes, sequences. */
export function quoteQualified(schema: string, name: string): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}

/** `it's` -> `'it''s'`, with standard_conforming_strings on, which every session of ours sets. */
export function quoteLiteral(text: string): string {
  return text.includes('\\')
    ? ` E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
    : `'${text.replaceAll("'", "''")}'`;
}
