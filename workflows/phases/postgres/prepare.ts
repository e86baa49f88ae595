// Runbook section 4a and the target's side of section 1: a backup that is known to restore, and a target that has the source's
// roles and schema, before anybody's writes are stopped.
import { rehearsalServers } from '../../../plan/rehearsal';
import { run } from '../../activity-options';
import { megabytes } from './preflight';
import { needed } from '../migration';
import type { PostgresMigration } from './migration';
import { rehearse } from './rehearsal';
import { shapeTarget } from './transformations';

/** Step 4a: the last backup before the migration, verified; with scratch servers by section 3, the rehearsal of the whole migration. */
export async function snapshot(migration: PostgresMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  runbook.phase('snapshot');
  const result = await runbook.step(
    'snapshot',
    `Take the final backup of the source (${plan.snapshot.kind})`,
    async () => {
      const taken = await run('long', `Snapshot of the source by ${plan.snapshot.kind}`).takeSnapshot({
        scope,
        snapshot: plan.snapshot,
        name: plan.name,
      });
      if (taken.artifact) runbook.journal.artifacts.push(taken.artifact);
      if (taken.rds) {
        const { id, arn, restore } = taken.rds;
        runbook.journal.backup = { kind: 'RDS snapshot', name: id, restore, ...(arn && { arn }) };
      }
      return taken;
    },
    {
      describe: ({ kind, artifact, rds, output }) =>
        artifact
          ? `${artifact.name}, ${megabytes(artifact.bytes)}, sha256 ${artifact.sha256.slice(0, 12)}…`
          : rds
            ? `RDS snapshot ${rds.id} of the ${rds.of.kind} ${rds.of.id}${rds.encrypted ? ', encrypted' : ', NOT encrypted'}`
            : (output ?? kind).slice(0, 200),
    },
  );
  if (!result) return;
  const servers = rehearsalServers(plan.rehearsal);
  if (servers) {
    await rehearse(migration, servers, result);
    return;
  }
  await runbook.step(
    'verify-snapshot',
    'Verify the backup',
    () => run('long', 'Verify the snapshot').verifySnapshot({ scope, snapshot: plan.snapshot, result }),
    { describe: ({ method, evidence }) => `${method}: ${evidence.join('; ')}`.slice(0, 400) },
  );
}

/** Roles, schemas, tables, functions and types on the target; all of it undone by putting the target back as it was found. */
export async function prepareTarget(migration: PostgresMigration): Promise<void> {
  const { runbook, plan, scope } = migration;
  runbook.phase('prepare');

  await runbook.step(
    'ledger',
    'Open the ledger on the target',
    () => run('quick', 'Open the ledger on the target').prepareLedger({ scope }),
    {
      undoTitle: 'Remove the ledger from the target',
      undoNeeds: ['pre-data', 'roles'],
      undo: async () =>
        (await run('quickUndo', 'Remove the ledger').removeLedger({ scope })).removed ? 'removed' : 'was not there',
    },
  );

  await runbook.step(
    'inventory',
    'Record the target as it is, to be able to put it back',
    async () => {
      const recorded = await run('long', 'Inventory of the target').inspectTarget({ scope });
      migration.inventory = recorded.inventory;
      return recorded;
    },
    { describe: ({ objects }) => `${objects} objects were there` },
  );
  const inventory = needed(migration.inventory, 'inventory');

  await runbook.step(
    'roles',
    'Carry roles, memberships and role settings',
    () => run('long', 'Carry roles to the target').carryRoles({ scope, mode: plan.roles }),
    {
      undoTitle: 'Remove the roles that we created',
      undoNeeds: ['pre-data'],
      undo: async () => {
        const { removed, kept } = await run('quickUndo', 'Remove created roles').removeRoles({ scope });
        for (const { role, why } of kept) runbook.note(`Role ${role} stays on the target: ${why}`);
        return `${removed.length} roles removed${kept.length > 0 ? `, ${kept.length} kept` : ''}`;
      },
      describe: ({ created, withoutPassword, leftOut }) =>
        [
          `${created.length} created${created.length > 0 ? ` (${created.slice(0, 10).join(', ')})` : ''}`,
          ...(withoutPassword.length > 0 ? [`set a password for ${withoutPassword.slice(0, 10).join(', ')}`] : []),
          ...(leftOut.length > 0 ? [`not carried: ${leftOut.slice(0, 10).join(', ')}`] : []),
        ].join('; '),
    },
  );

  await runbook.step(
    'dump-schema',
    'Read the schema of the source',
    async () => {
      const dumped = await run('long', 'Dump the schema of the source').dumpSchema({ scope });
      migration.archive = dumped.archive;
      migration.catalog = dumped.catalog;
      return dumped;
    },
    { describe: ({ objects }) => `${objects} objects` },
  );
  const archive = needed(migration.archive, 'archive');

  await runbook.step(
    'pre-data',
    'Create types, functions and tables on the target',
    () => run('long', 'Restore the pre-data section on the target').restorePreData({ scope, archive }),
    {
      undoTitle: 'Put the target back as it was found',
      undoNeeds: ['switch-datastore', 'switch-application', 'copy-data', 'streams', 'shut-target', 'dual-write-on'],
      undo: () => putBackTarget(migration, inventory),
      describe: ({ objects }) => `${objects} objects in one transaction`,
    },
  );

  await shapeTarget(migration);

  await runbook.step(
    'database-properties',
    'Carry settings, privileges and comment of the database',
    () => run('quick', 'Carry database properties').carryDatabaseProperties({ scope }),
    { describe: ({ carried }) => (carried.length > 0 ? carried.join('; ').slice(0, 300) : 'nothing to carry') },
  );
}

async function putBackTarget(
  { scope }: PostgresMigration,
  inventory: NonNullable<PostgresMigration['inventory']>,
): Promise<string> {
  const { dropped, left } = await run('undo', 'Clear the target').clearTarget({ scope, inventory });
  const { differences } = await run('undo', 'Compare the target with how it was').inspectUnchangedTarget({
    scope,
    inventory,
  });
  const rest = [...left, ...differences];
  if (rest.length > 0) throw new Error(`the target is not as it was found: ${rest.slice(0, 10).join('; ')}`);
  return `${dropped} objects dropped; the target is as it was found`;
}
