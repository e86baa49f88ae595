// Rows that differ under the fence: an update that left its column alone, or a target that somebody wrote to. Brought over once by comparing
// whole tables, and told; repaired is not verified, so everything is compared again.
import type { ComparedTables } from '../../../../activities/postgres/digest';
import { plural } from '../../../../journal/quantities';
import type { PassMigration } from './migration';
import { describePass, makePass } from './pass';

const namesShown = 10;

/** @returns whether a pass was made; not twice in one freeze, where something else must be wrong */
export async function repairRows(
  migration: PassMigration,
  { unequal, tables }: Pick<ComparedTables, 'unequal' | 'tables'>,
): Promise<boolean> {
  if (migration.repaired) return false;
  const names = tables.filter(({ equal }) => equal === false).map(({ table }) => table);
  // Only the biggest tables are listed.
  const all = names.length < unequal;
  const record = await makePass(migration, 'rows differed under the fence', {
    repair: all ? {} : { tables: names },
    underFence: true,
  });
  // Only now: a pass that fails is made again when a person sends retry.
  migration.repaired = true;
  const shown = names.slice(0, namesShown).join(', ');
  migration.runbook.note(
    `Rows of ${plural(unequal, 'table')} differed under the fence after the last pass (${shown}${unequal > Math.min(names.length, namesShown) ? ', …' : ''}): all their rows were compared and brought over, ${describePass(record)}. Everything is compared again. Look for updates that leave the update column alone, and for writers on the target.`,
  );
  return true;
}
