// The clock of the outage: it runs while the application cannot write, or while both datastores of Calico are locked.
import type { Migration } from './migration';

/** A freeze that was given up before counts as well; one that goes on is not begun anew. */
export function beginDowntime(migration: Migration): void {
  const { journal } = migration.runbook;
  if (journal.downtime && !journal.downtime.endedAt) return;
  migration.earlierDowntimeMs = journal.downtime?.durationMs ?? 0;
  journal.downtime = { startedAt: migration.runbook.now().toISOString() };
}

/** Over, on whichever side. */
export function endDowntime({ runbook, earlierDowntimeMs }: Migration): void {
  const { downtime } = runbook.journal;
  if (!downtime || downtime.endedAt) return;
  const now = runbook.now();
  downtime.endedAt = now.toISOString();
  downtime.durationMs = earlierDowntimeMs + now.getTime() - Date.parse(downtime.startedAt);
  runbook.show();
}
