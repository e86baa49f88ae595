// Reads the schema of the source: the archive that the target is built from and, under the same snapshot, its catalog in
// normal form, against which a later look tells whether somebody has changed the schema since.
import type { Client } from 'pg';
import type { TableSelection } from '../../../plan/postgres';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import { runTool } from '../client-tools';
import { changesBetween } from '../fidelity/changes';
import { parseCatalog, readCatalog } from '../fidelity/catalog';
import { quoteQualified } from '../identifier';
import { ledgerSchema, type PostgresScope } from '../scope';
import { readExcluded, type ExcludedRelation } from './excluded';

/** Names of tables go over as arguments; beyond this the system would refuse to start pg_dump. */
const argumentLimit = 1_000_000;

export function createDumpActivities({ connections, artifacts, tools }: PostgresDependencies) {
  return {
    /**
     * Dumps the schema without rows and large objects, and reads the catalog as of the same moment.
     * @throws PreconditionFailed when pg_dump is missing or refuses, or when a selected object needs one that is left out; SourceUnavailable (retryable)
     */
    async dumpSchema({
      scope,
    }: {
      scope: PostgresScope;
    }): Promise<{ archive: ArtifactReference; catalog: ArtifactReference; objects: number }> {
      const { pgDump } = tools;
      if (!pgDump) {
        throw failure(
          'PreconditionFailed',
          'pg_dump was not found on the worker. Install the PostgreSQL client tools of the newer of both versions, then retry.',
        );
      }
      return withHeartbeat({}, async ({ signal }) => {
        const environment = await connections.toolEnvironment(scope.source);
        const session = { side: 'source', purpose: 'dump schema', signal } as const;
        return connections.withSession(scope.source, session, async (source) => {
          await source.query('begin isolation level repeatable read read only');
          const excluded = await readExcluded(source, scope.tables);
          await refuseBrokenSelection(source, excluded, scope.tables);
          const catalog = await readCatalog(source, scope.tables);
          const { rows } = await source.query<{ snapshot: string }>('select pg_export_snapshot() as snapshot');
          const archive = await artifacts.put(scope.migration, 'schema.dump', async (path) => {
            const args = dumpArguments(path, rows[0]?.snapshot, excluded);
            const { exitCode, stderr } = await runTool(pgDump, args, { environment, signal });
            if (exitCode !== 0) throw dumpFailure(stderr);
          });
          await source.query('commit');
          const stored = await artifacts.put(scope.migration, 'catalog.json', JSON.stringify(catalog));
          return { archive, catalog: stored, objects: Object.keys(catalog.objects).length };
        });
      });
    },

    /** What has changed in the schema of the source since the dump, the first hundred; each named with its object. @throws SourceUnavailable (retryable) */
    async compareSchemaWithDump({
      scope,
      catalog,
    }: {
      scope: PostgresScope;
      catalog: ArtifactReference;
    }): Promise<{ changes: string[] }> {
      return withHeartbeat({}, async ({ signal }) => {
        const before = parseCatalog(await artifacts.read(catalog));
        const session = { side: 'source', purpose: 'compare schema with dump', signal } as const;
        const now = await connections.withSession(scope.source, session, (source) => readCatalog(source, scope.tables));
        return { changes: changesBetween(before, now, { before: 'at the dump', after: 'now' }).slice(0, 100) };
      });
    },
  };
}

function dumpArguments(path: string, snapshot: string | undefined, excluded: ExcludedRelation[]): string[] {
  const args = [
    '--format=custom',
    `--file=${path}`,
    '--section=pre-data',
    '--section=post-data',
    '--no-blobs',
    '--no-subscriptions',
    '--no-password',
    '--lock-wait-timeout=30s',
    // What is a keyword differs between versions: json, json_value and system_user are names on 15 and not on 18.
    '--quote-all-identifiers',
    `--exclude-schema="${ledgerSchema}"`,
    ...(snapshot ? [`--snapshot=${snapshot}`] : []),
    ...excluded.map(({ schema, name }) => `--exclude-table=${quoteQualified(schema, name)}`),
  ];
  if (args.reduce((sum, { length }) => sum + length, 0) > argumentLimit) {
    throw failure(
      'PreconditionFailed',
      `${excluded.length} relations are left out by the plan, more than pg_dump can be told. Move them to schemas of their own or drop them before, then retry.`,
    );
  }
  return args;
}

function dumpFailure(stderr: string): Error {
  const said = stderr.trim().split('\n').slice(-3).join(' · ').slice(0, 600);
  const type = /connection to server|could not (connect|obtain lock)|canceling statement|terminat/i.test(said)
    ? 'SourceUnavailable'
    : /permission denied/i.test(said)
      ? 'AuthDenied'
      : 'PreconditionFailed';
  return failure(
    type,
    `Dumping the schema of the source failed: ${said}. ${
      type === 'SourceUnavailable'
        ? 'It is tried again by itself; look for a session that holds a lock on a table when that lasts.'
        : 'Mend what pg_dump names, then retry.'
    }`,
  );
}

const brokenSql = `
select distinct format('%s needs %s', pg_describe_object(d.classid, d.objid, 0), pg_describe_object(d.refclassid, d.refobjid, 0)) as broken
from pg_depend d
where d.deptype in ('n', 'a')
  and (d.refclassid = 'pg_class'::regclass and d.refobjid = any($1::oid[])
    or d.refclassid = 'pg_type'::regclass and d.refobjid in (select reltype from pg_class where oid = any($1::oid[])))
  and (d.classid = 'pg_proc'::regclass
    or d.classid = 'pg_attrdef'::regclass and d.deptype = 'n' and (select not adrelid = any($1::oid[]) from pg_attrdef where oid = d.objid)
    or d.classid = 'pg_policy'::regclass and (select not polrelid = any($1::oid[]) from pg_policy where oid = d.objid)
    or d.classid = 'pg_class'::regclass and not d.objid = any($1::oid[])
      and (select relkind in ('r', 'p', 'f', 'c') from pg_class where oid = d.objid))
order by 1 limit 20`;

/** Better refused now, with names, than by an error in the middle of the restore. Foreign keys to what is left out are not carried. */
async function refuseBrokenSelection(
  source: Client,
  excluded: ExcludedRelation[],
  { exclude }: TableSelection,
): Promise<void> {
  if (excluded.length === 0) return;
  const { rows } = await source.query<{ broken: string }>(brokenSql, [excluded.map(({ oid }) => oid)]);
  if (rows.length === 0) return;
  throw failure(
    'PreconditionFailed',
    `The tables of the plan do not stand by themselves: ${rows.map(({ broken }) => broken).join('; ')}. Include ${exclude.length > 0 ? 'those that are excluded' : 'the missing tables'} in the plan, or drop what needs them.`,
  );
}
