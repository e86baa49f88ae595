// Who may change the schema of the target: restoring attempts share the right or hold it alone, putting the target back
// holds it alone. So an attempt given up by Temporal that still runs cannot work beside its successor or against the undo.
import type { Client } from 'pg';
import { failure } from '../../errors';
import { readMilestone } from '../ledger';
import { ledgerSchema } from '../scope';

/** Noted when putting back begins: an attempt at restoring that was given up must not come after it. */
export const clearedMilestone = 'target-cleared';

const key = `hashtextextended('${ledgerSchema} target schema', 0)`;

/** Held to the end of the transaction. Waits at most 10 s; then SQLSTATE 55P03, which is retried. */
export async function lockTargetSchema(target: Client, mode: 'shared' | 'alone'): Promise<void> {
  await target.query(`set local lock_timeout = '10s'`);
  await target.query(`select pg_advisory_xact_lock${mode === 'shared' ? '_shared' : ''}(${key})`);
  await target.query(`set local lock_timeout = 0`);
}

/** @throws PreconditionFailed once putting the target back has begun */
export async function refuseAfterClearing(target: Client): Promise<void> {
  if (!(await readMilestone(target, clearedMilestone))) return;
  throw failure(
    'PreconditionFailed',
    'The target has been put back to how it was found, so nothing more is built on it. Start the migration anew.',
  );
}
