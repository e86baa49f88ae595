// Tables whose columns are other ones on the target. Every step is left out where the plan has none; names and drops come last, when all that
// speaks of the source's names is done.
import type { RejectRecord } from '../../../journal/types';
import type { Transformation } from '../../../plan/transformations';
import type { PostgresPlan } from '../../../plan/postgres';
import { run } from '../../activity-options';
import { needed } from '../migration';
import { describeRecords, requirePassed } from '../proof';
import type { PostgresMigration } from './migration';

/** For the inputs of activities: nothing at all where there are none. */
export function transformationsOf({ transformations }: PostgresPlan): { transformations?: Transformation[] } {
  return transformations.length > 0 ? { transformations } : {};
}

/** Right after pre-data, before anybody's writes are stopped: types now, and whether the rest will be possible. */
export async function shapeTarget({ runbook, plan, scope, archive }: PostgresMigration): Promise<void> {
  const { transformations } = plan;
  if (transformations.length === 0) return;
  await runbook.step(
    'shape-target',
    'Give the tables of the target their other columns, and try what comes later',
    () =>
      run('long', 'Types of transformed columns').shapeTarget({
        scope,
        transformations,
        archive: needed(archive, 'archive'),
      }),
    { describe: ({ columns }) => `${columns} columns of ${transformations.length} tables` },
  );
}

/** When a copy stops because of them, the rejects are kept before anything is undone. */
export async function tellingRejects(migration: PostgresMigration, copy: () => Promise<void>): Promise<void> {
  try {
    await copy();
  } catch (error) {
    const refused = migration.plan.transformations.length > 0 && !migration.runbook.interrupted;
    if (refused) await noteRejects(migration).catch(() => undefined);
    throw error;
  }
}

export async function keepRejects(migration: PostgresMigration): Promise<void> {
  const { runbook, plan } = migration;
  if (plan.transformations.length === 0) return;
  await runbook.step('keep-rejects', 'Write down the rows that could not be taken', () => noteRejects(migration), {
    downtime: true,
    describe: ({ total }) => (total === 0 ? 'every row was taken' : `${total} rows are not on the target`),
  });
}

async function noteRejects({ runbook, plan, scope }: PostgresMigration) {
  const { journal } = runbook;
  const kept = await run('long', 'Keep the rejects').keepRejects({ scope, transformations: plan.transformations });
  journal.transformations = { tables: kept.tables, rejects: kept.first };
  const { artifact } = kept;
  if (artifact && !journal.artifacts.some(({ sha256 }) => sha256 === artifact.sha256)) journal.artifacts.push(artifact);
  runbook.show();
  return kept;
}

/** Every row and column of the transformed tables, by the expressions of the plan. */
export async function compareTransformed(migration: PostgresMigration, attempt: () => string): Promise<void> {
  const { runbook, plan, scope } = migration;
  const { transformations, copy } = plan;
  if (transformations.length === 0) return;
  await runbook.step(
    'compare-transformed',
    'Compare every transformed column with its own expression',
    async () => {
      const compared = await run('long', 'Transformed tables against their expressions').compareTransformed({
        scope,
        transformations,
        lanes: copy.lanes,
        chunkMegabytes: copy.chunkMegabytes,
        attempt: attempt(),
      });
      const { journal } = runbook;
      const others = (journal.tables ?? []).filter(({ table }) => !compared.tables.some((one) => one.table === table));
      journal.tables = [...compared.tables, ...others].sort((left, right) => right.bytes - left.bytes);
      return requirePassed(migration, compared.records);
    },
    { downtime: true, describe: describeRecords },
  );
}

/** The last change of the target's schema: from here on its columns have the names of the plan. */
export async function reshapeTarget({ runbook, plan, scope }: PostgresMigration): Promise<void> {
  const { transformations } = plan;
  if (transformations.length === 0) return;
  await runbook.step(
    'reshape-target',
    'Rename and drop columns on the target',
    () => run('long', 'Names of transformed columns').reshapeTarget({ scope, transformations }),
    { downtime: true, describe: ({ statements }) => `${statements} statements in one transaction` },
  );
}

/** For people at a gate: nothing where there are no transformations. */
export function rejectsWords(tables: RejectRecord[] | undefined): string[] {
  if (!tables) return [];
  const rejected = tables.filter(({ rejects }) => rejects > 0);
  if (rejected.length === 0) return [`transformations: every row of ${tables.length} tables was taken`];
  const words = rejected.map(
    ({ table, rejects, maxRejects }) => `${rejects} rows of ${table} (the plan takes ${maxRejects})`,
  );
  return [`transformations: NOT on the target are ${words.join(', ')}; the artifact rejects.jsonl names them`];
}

/** Before the copy nobody knows how many there will be. */
export function limitsEvidence({ plan: { transformations } }: PostgresMigration): string[] {
  if (transformations.length === 0) return [];
  const limits = transformations.map(({ table, maxRejects }) => `${table} (at most ${maxRejects} rows may be refused)`);
  return [`columns are other ones on the target in ${limits.join(', ')}`];
}
