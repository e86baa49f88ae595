// SQL of a plan is sent by the extended protocol, where the server refuses more than one statement in a text:
// `select 1; drop table x` stays an error instead of becoming two statements.
import type { QueryConfig } from 'pg';

/** A query that the server takes only if it is one statement. */
export function singleStatement(sql: string): QueryConfig {
  const query: QueryConfig & { queryMode: 'extended' } = { text: sql, queryMode: 'extended' };
  return query;
}
