// How the target was before we touched it: the measure for putting it back, and the proof that it was.
import type { Client } from 'pg';
import { z } from 'zod';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import { changesBetween } from '../fidelity/changes';
import { noteMilestone, readMilestone } from '../ledger';
import { ledgerSchema, type PostgresScope } from '../scope';
import { listObjects, parseInventory, readInventory } from './inventory';
import { readDifferences } from './restore-properties';
import { clearedMilestone, lockTargetSchema } from './target-lock';

const inventoryMilestone = 'target-inventory';

const notedSchema = z.object({
  inventory: z.object({ url: z.string(), sha256: z.string(), bytes: z.number(), name: z.string() }),
  objects: z.number(),
});

export function createInventoryActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /** Records what the target holds; once recorded, that stays the answer, whatever we have built since. The ledger must be open. @throws TargetUnavailable (retryable) */
    async inspectTarget({
      scope,
    }: {
      scope: PostgresScope;
    }): Promise<{ inventory: ArtifactReference; objects: number }> {
      return withHeartbeat({}, async ({ signal }) => {
        const session = { side: 'target', purpose: 'inventory', signal } as const;
        return connections.withSession(scope.target, session, async (target) => {
          await target.query('begin');
          await lockTargetSchema(target, 'alone');
          const noted = await readMilestone(target, inventoryMilestone);
          const cleared = await readMilestone(target, clearedMilestone);
          if (noted && !cleared) {
            await target.query('rollback');
            return notedSchema.parse(noted);
          }
          const inventory = await readInventory(target);
          const reference = await artifacts.put(scope.migration, 'target-inventory.json', JSON.stringify(inventory));
          const result = { inventory: reference, objects: inventory.objects.length };
          await noteMilestone(target, inventoryMilestone, result);
          await target.query(`delete from ${ledgerSchema}.milestone where name = $1`, [clearedMilestone]);
          await target.query('commit');
          return result;
        });
      });
    },

    /** In what the target differs from the inventory, the first hundred; the ledger does not count. @throws TargetUnavailable (retryable) */
    async inspectUnchangedTarget({
      scope,
      inventory: reference,
    }: {
      scope: PostgresScope;
      inventory: ArtifactReference;
    }): Promise<{ differences: string[] }> {
      return withHeartbeat({}, async ({ signal }) => {
        const before = parseInventory(await artifacts.read(reference));
        const session = { side: 'target', purpose: 'inspect unchanged', signal } as const;
        return connections.withSession(scope.target, session, async (target) => {
          const differences = await differencesFrom(target, before);
          return { differences: differences.slice(0, 100) };
        });
      });
    },
  };
}

async function differencesFrom(target: Client, before: ReturnType<typeof parseInventory>): Promise<string[]> {
  const now = await readInventory(target);
  const known = new Set(before.objects.map(({ type, identity }) => `${type} ${identity}`));
  const present = new Set((await listObjects(target)).map(({ type, identity }) => `${type} ${identity}`));
  const catalog = changesBetween(before.catalog, now.catalog, { before: 'before', after: 'now' });
  return [
    ...[...present].filter((name) => !known.has(name)).map((name) => `${name}: only now`),
    ...[...known].filter((name) => !present.has(name)).map((name) => `${name}: only before`),
    ...catalog,
    ...readDifferences('large objects', before.largeObjects, now.largeObjects),
    ...readDifferences('settings', before.settings.map(oneLine), now.settings.map(oneLine)),
  ];
}

function oneLine({ role, settings }: { role?: string; settings: string[] }): string {
  return `${role ?? 'everybody'}: ${settings.join(', ')}`;
}
