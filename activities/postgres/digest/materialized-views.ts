// Materialized views travel as definitions and are refreshed on the target, so a view that was stale on the source has newer
// content there. Content that differs from the source's is right only if it is exactly what its query gives on the target now,
// whose tables are compared on their own.
import type { Client } from 'pg';
import type { ValidationRecord } from '../../../journal/types';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { valueSettings } from '../copy/copy-format';
import type { PostgresScope } from '../scope';
import { identityOf, listMaterializedViews, nameOf, type MaterializedView } from './relations';
import { digestSql, queryDigestSql, usableHash, type Hash } from './row-digest';

interface Content {
  rows: string;
  digest: string;
}

export function createMaterializedViewActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * One record a materialized view of either side. What differs or could not be read is in the records.
     * @throws SourceUnavailable, TargetUnavailable (retryable)
     */
    async compareMaterializedViews({ scope }: { scope: PostgresScope }): Promise<ValidationRecord[]> {
      return withHeartbeat({ view: '' }, (beat) => {
        const session = { purpose: 'compare materialized views', signal: beat.signal, settings: { ...valueSettings } };
        return connections.withSession(scope.source, { ...session, side: 'source' }, (source) =>
          connections.withSession(scope.target, { ...session, side: 'target' }, async (target) => {
            const hash = (await usableHash(source)) === 'md5' ? await usableHash(target) : 'sha256';
            const onSource = byIdentity(await listMaterializedViews(source, scope));
            const onTarget = byIdentity(await listMaterializedViews(target, scope));
            const records: ValidationRecord[] = [];
            for (const identity of new Set([...onSource.keys(), ...onTarget.keys()])) {
              const started = Date.now();
              const here = onSource.get(identity);
              const there = onTarget.get(identity);
              const either = here ?? there;
              if (!either) continue;
              beat.report({ view: nameOf(either) });
              const verdict = await judge({ source, target, here, there, hash });
              records.push({
                name: `materialized view ${nameOf(either)}`,
                ...verdict,
                durationMs: Date.now() - started,
              });
            }
            return records;
          }),
        );
      });
    },
  };
}

type Verdict = Pick<ValidationRecord, 'source' | 'target' | 'outcome' | 'differences'>;

async function judge(sides: {
  source: Client;
  target: Client;
  here?: MaterializedView;
  there?: MaterializedView;
  hash: Hash;
}): Promise<Verdict> {
  const { source, target, here, there, hash } = sides;
  if (!here) return { outcome: 'fail', differences: ['exists only on the target'] };
  if (!there) return { outcome: 'fail', differences: ['is missing on the target'] };
  if (!here.populated) {
    if (there.populated) return { outcome: 'fail', differences: ['is populated only on the target'] };
    return { source: 'not populated', target: 'not populated', outcome: 'pass' };
  }
  if (!there.populated)
    return { outcome: 'fail', differences: ['is not populated on the target: REFRESH MATERIALIZED VIEW it'] };
  const before = await read(source, digestSql(here, {}, hash));
  const after = await read(target, digestSql(there, {}, hash));
  const shown = { source: `${before.rows} rows`, target: `${after.rows} rows` };
  if (before.digest === after.digest) return { ...shown, outcome: 'pass' };
  const fresh = await read(target, queryDigestSql(there, there.query, hash));
  if (fresh.digest === after.digest) {
    return {
      source: `${before.rows} rows, stale`,
      target: `${after.rows} rows, as its query gives them now`,
      outcome: 'pass',
    };
  }
  return {
    ...shown,
    outcome: 'unverifiable',
    differences: [
      'its content is neither that of the source nor what its query gives now: a query that depends on time or chance cannot be verified',
    ],
  };
}

async function read(client: Client, sql: string): Promise<Content> {
  const { rows } = await client.query<{ rows: string; high: string | null; low: string | null }>(sql);
  const [row] = rows;
  return { rows: row?.rows ?? '0', digest: `${row?.rows} ${row?.high} ${row?.low}` };
}

function byIdentity(views: MaterializedView[]): Map<string, MaterializedView> {
  return new Map(views.map((view) => [identityOf(view), view]));
}
