// Planner statistics on the target, before anybody's query gets there: every copied table, partitioned parents, materialized views.
import type { ClientBase } from 'pg';
import { withHeartbeat } from '../heartbeat';
import type { PostgresDependencies } from '../dependencies';
import { quoteQualified } from './identifier';
import { takeTurns } from './lanes';
import type { PostgresScope } from './scope';
import { listTables, matchesSelection } from './tables';

/** From here on ANALYZE of a partitioned table can leave its partitions alone. */
const analyzeOnlyVersion = 180_000;

export function createAnalyzeActivities({ connections }: PostgresDependencies) {
  return {
    /** ANALYZE, biggest first, `lanes` at a time. Repeating it is harmless. */
    async analyzeTarget({
      scope,
      lanes,
    }: {
      scope: PostgresScope;
      lanes: number;
    }): Promise<{ tables: number; durationMs: number }> {
      const started = Date.now();
      return withHeartbeat({ tablesDone: 0, tablesTotal: 0 }, async (beat) => {
        const session = { side: 'target', purpose: 'analyze', signal: beat.signal } as const;
        const statements = await connections.withSession(scope.target, session, (target) =>
          analyzeStatements(target, scope),
        );
        let done = 0;
        await takeTurns(statements, lanes, (next) =>
          connections.withSession(scope.target, session, async (target) => {
            for (let statement = next(); statement; statement = next()) {
              await target.query(statement);
              done += 1;
              beat.report({ tablesDone: done, tablesTotal: statements.length });
            }
          }),
        );
        return { tables: statements.length, durationMs: Date.now() - started };
      });
    },
  };
}

/** Before version 18 a partitioned table takes its partitions along, so those are not named again. */
async function analyzeStatements(target: ClientBase, scope: PostgresScope): Promise<string[]> {
  const { rows } = await target.query<{ version: string }>(`select current_setting('server_version_num') as version`);
  const only = Number(rows[0]?.version) >= analyzeOnlyVersion;
  const tables = [...(await listTables(target, scope.tables))].sort((left, right) => right.bytes - left.bytes);
  const leaves = tables.filter(({ partitionOf }) => partitionOf !== undefined);
  const others = await listOthers(target);
  const roots = new Set(leaves.map(({ partitionOf }) => partitionOf));
  const parents = others.filter(({ kind, root, schema, name }) => {
    if (kind !== 'p' || (!only && root !== null)) return false;
    return roots.has(root ?? `${schema}.${name}`) || matchesSelection(scope.tables, schema, name);
  });
  // Whatever view is there has travelled: the target was empty.
  const views = others.filter(({ kind }) => kind === 'm');
  return [
    ...parents.map(({ schema, name }) => `analyze ${only ? 'only ' : ''}${quoteQualified(schema, name)}`),
    ...[...tables.filter(({ partitionOf }) => only || partitionOf === undefined), ...views].map(
      ({ schema, name }) => `analyze ${quoteQualified(schema, name)}`,
    ),
  ];
}

interface Other {
  kind: 'p' | 'm';
  schema: string;
  name: string;
  /** `schema.table` at the top, of a partitioned table that is a partition itself. */
  root: string | null;
}

async function listOthers(client: ClientBase): Promise<Other[]> {
  const { rows } = await client.query<Other>(`
    select c.relkind as kind, n.nspname as schema, c.relname as name,
      case when c.relispartition then (
        select rn.nspname || '.' || r.relname from pg_class r join pg_namespace rn on rn.oid = r.relnamespace where r.oid = pg_partition_root(c.oid)
      ) end as root
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where (c.relkind = 'p' or (c.relkind = 'm' and c.relispopulated)) and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    order by 2, 3`);
  return rows;
}
