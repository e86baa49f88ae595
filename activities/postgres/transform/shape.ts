// The target's tables in the shape that the plan wants: types before the rows come, names and drops when all else is done. Both are one
// transaction with their milestone. What would stop the second, or the copy between them, is found right after the first, while the application
// still writes to the source.
import { ApplicationFailure } from '@temporalio/common';
import type { Client } from 'pg';
import { tableOf, type Transformation } from '../../../plan/transformations';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { failure } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import { copyFailure } from '../copy/copy-errors';
import { postgresFailure, withoutRows } from '../errors';
import { quoteQualified } from '../identifier';
import { noteMilestone, readMilestone } from '../ledger';
import { SchemaArchive, type ArchiveEntry } from '../schema/archive';
import { readPostDataFacts } from '../schema/post-data-facts';
import { runEntries } from '../schema/run-entries';
import { lockTargetSchema, refuseAfterClearing } from '../schema/target-lock';
import type { PostgresScope } from '../scope';
import { nameOf, reshapeSql, shapeSql } from './statements';
import { readTransformedTable, staging, stageTransformed, takeSql } from './table';

const shapeMilestone = 'transformed-shape';
const reshapeMilestone = 'transformed-names';

export interface ShapeInput {
  scope: PostgresScope;
  transformations: Transformation[];
}

export function createShapeActivities({ connections, artifacts, tools }: PostgresDependencies) {
  return {
    /**
     * Gives the empty tables of the target their types, defaults and NOT NULL; a second run finds it done. Then tries, in a transaction that is
     * rolled back, whether rows can be taken by their expressions, whether indexes and constraints can be built and columns renamed and dropped.
     * @param archive of the source's schema
     * @returns how many columns were asked to change
     * @throws PreconditionFailed naming the statement (not retryable); TargetUnavailable, SourceUnavailable (retryable)
     */
    async shapeTarget(input: ShapeInput & { archive: ArtifactReference }): Promise<{ columns: number }> {
      const { scope, transformations } = input;
      return withHeartbeat({ step: 'changing types' }, async ({ signal, report }) => {
        const archive = await SchemaArchive.open(artifacts, tools, input.archive, signal);
        const session = { purpose: 'shape of the target', signal };
        return connections.withSession(scope.source, { ...session, side: 'source' }, async (source) => {
          const entries = await entriesOf(source, archive, input);
          return connections.withSession(scope.target, { ...session, side: 'target' }, async (target) => {
            await once(target, shapeMilestone, transformations, shapeSql);
            report({ step: `trying ${entries.length} indexes and constraints` });
            await tryTheRest({ source, target }, archive, entries, transformations);
            return { columns: transformations.reduce((sum, { columns }) => sum + Object.keys(columns).length, 0) };
          });
        });
      });
    },

    /**
     * Drops and renames the columns on the target, as the very last change of its schema; a second run finds it done.
     * @throws PreconditionFailed naming the statement (not retryable); TargetUnavailable (retryable)
     */
    async reshapeTarget({ scope, transformations }: ShapeInput): Promise<{ statements: number }> {
      return withHeartbeat({}, ({ signal }) =>
        connections.withSession(scope.target, { side: 'target', purpose: 'reshape', signal }, async (target) => {
          await once(target, reshapeMilestone, transformations, reshapeSql);
          return { statements: transformations.flatMap(reshapeSql).length };
        }),
      );
    },
  };
}

/** All statements and their milestone in one transaction, or nothing. */
async function once(
  target: Client,
  milestone: string,
  transformations: Transformation[],
  sql: (transformation: Transformation) => string[],
): Promise<void> {
  await target.query('begin');
  try {
    await lockTargetSchema(target, 'alone');
    if (!(await readMilestone(target, milestone))) {
      await refuseAfterClearing(target);
      for (const transformation of transformations) await runAll(target, transformation, sql(transformation));
      await noteMilestone(target, milestone);
    }
    await target.query('commit');
  } catch (error) {
    await target.query('rollback').catch(() => undefined);
    throw postgresFailure(error, 'target', 'Changing the shape of the target');
  }
}

async function runAll(target: Client, { table }: Transformation, statements: string[]): Promise<void> {
  for (const statement of statements) {
    try {
      await target.query(statement);
    } catch (error) {
      throw refusal(error, table, statement);
    }
  }
}

/** A server that is away is told as such; what it says of a statement is for the plan's author. */
function refusal(error: unknown, table: string, statement: string): unknown {
  const { code = '' } = error as { code?: string };
  if (!(error instanceof Error) || !/^(0A|22|23|2B|42)/.test(code)) return error;
  return failure(
    'PreconditionFailed',
    `The target's ${table} cannot be changed as the plan asks: ${withoutRows(error)} (SQLSTATE ${code}). Statement: ${statement.replaceAll(/\s+/g, ' ')}. ${adviceFor(code)}`,
    { sqlState: code },
  );
}

function adviceFor(code: string): string {
  if (code === '42804')
    return 'Give the column a default of its own in the plan, or null for none; roll back and begin anew.';
  if (code === '2BP01' || code === '0A000')
    return 'Remove what depends on the column from the source, or leave the column as it is; make it on the target after the migration.';
  return 'Correct the transformation in the plan, roll back and begin anew.';
}

/** What of post-data stands on the tables, with what that needs, in the order of the archive. */
async function entriesOf(
  source: Client,
  archive: SchemaArchive,
  { scope, transformations }: ShapeInput,
): Promise<ArchiveEntry[]> {
  const entries = await archive.list('post-data');
  const dependencies = await archive.dependencies();
  const facts = await readPostDataFacts(source, entries, scope.tables);
  const names = transformations.map(tableOf);
  const { rows } = await source.query<{ oid: string }>(
    'select to_regclass(name)::oid as oid from unnest($1::text[]) as name',
    [names.map(({ schema, name }) => quoteQualified(schema, name))],
  );
  const oids = new Set(rows.map(({ oid }) => oid));
  const acting = new Set(['TRIGGER', 'RULE', 'POLICY']);
  const standsOn = ({ id, kind, label }: ArchiveEntry): boolean =>
    (facts.builds.get(id)?.tables ?? []).some((oid) => oids.has(oid)) ||
    (acting.has(kind) && names.some(({ schema, name }) => label.startsWith(`${schema} ${name} `)));
  const wanted = new Set<string>();
  const include = (id: string): void => {
    if (wanted.has(id)) return;
    wanted.add(id);
    for (const need of dependencies.get(id) ?? []) include(need);
  };
  for (const entry of entries) if (standsOn(entry) && !facts.leftOut.has(entry.id)) include(entry.id);
  return entries.filter(({ id, kind }) => wanted.has(id) && kind !== 'MATERIALIZED VIEW DATA');
}

/** Of what the schema's text needs nothing is missing: it does not go with the new types. */
function notOnTheseTypes(error: unknown): unknown {
  if (!(error instanceof ApplicationFailure) || error.nonRetryable !== true) return error;
  const said = error.message.replace(/;\. .*$/s, ';');
  return failure(
    'PreconditionFailed',
    `With the types of the plan's transformations this cannot be built: ${said} Drop it on the source or leave the column its type, and begin anew; it can be made on the target after the migration.`,
    (error.details?.[0] ?? {}) as Record<string, unknown>,
  );
}

async function tryTheRest(
  { source, target }: { source: Client; target: Client },
  archive: SchemaArchive,
  entries: ArchiveEntry[],
  transformations: Transformation[],
): Promise<void> {
  await target.query('begin');
  try {
    await lockTargetSchema(target, 'alone');
    for (const transformation of transformations) await tryTaking(source, target, transformation);
    // Built for good by an earlier attempt of the copy: then they have been tried.
    const built = await target.query(`select to_regclass('cutover.post_data') is not null as there`);
    if ((built.rows as { there: string }[])[0]?.there !== 't')
      await runEntries(target, archive, entries).catch((error: unknown) => {
        throw notOnTheseTypes(error);
      });
    if (!(await readMilestone(target, reshapeMilestone)))
      for (const transformation of transformations) await runAll(target, transformation, reshapeSql(transformation));
  } catch (error) {
    throw copyFailure(error, 'Trying expressions, indexes, constraints and names on the shape of the target');
  } finally {
    await target.query('rollback').catch(() => undefined);
  }
}

/**
 * The statement of the copy, on no rows: what a column does not take, and what only the source has, is known before any row is read.
 * In the role of the copy, in which not even triggers of statements fire.
 */
async function tryTaking(source: Client, target: Client, transformation: Transformation): Promise<void> {
  const table = await readTransformedTable(source, target, transformation);
  await target.query('set local session_replication_role = replica');
  await stageTransformed(
    target,
    table,
    table.staged.map(({ name }) => name),
    'text',
  );
  const statement = takeSql(table, nameOf(transformation));
  try {
    await target.query(statement);
  } catch (error) {
    const { code = '' } = error as { code?: string };
    if (!(error instanceof Error) || !/^(0A|22|23|2B|3F|42|P0)/.test(code)) throw error;
    throw failure(
      'PreconditionFailed',
      `Rows of ${transformation.table} cannot be taken as the plan asks: ${withoutRows(error)} (SQLSTATE ${code}). Statement: ${statement.replaceAll(/\s+/g, ' ')}. Correct the column's expression or type in the plan: columns are written without their table, and what is of another type than its column needs "type", or a cast in the expression. Roll back and begin anew.`,
      { sqlState: code },
    );
  }
  await target.query(`drop table ${staging}`);
  await target.query('set local session_replication_role = origin');
}
