// What would make a freeze fail after writes have stopped, found while they still go on: sessions that our role may not end, prepared
// transactions, somebody else's subscription, sequences without a counterpart. Nothing is changed.
import type { Client } from 'pg';
import { failure } from '../../errors';
import { awaitNoPrepared, findHoles, foreignSql } from '../fence/sessions';
import type { PostgresScope } from '../scope';
import { missingSequences } from '../sequences';
import type { BothSides } from './both-sides';
import { otherSide, writingSide, type Leg, type WritingSide } from './names';

const preparedWaitMs = 2_000;

/** @throws PreconditionFailed and AuthDenied, as the freeze itself would */
export async function requireReadyToFreeze(
  { writing, following }: BothSides,
  { scope, leg }: { scope: PostgresScope; leg: Leg },
  signal: AbortSignal,
): Promise<void> {
  const side = writingSide(leg);
  await awaitNoPrepared(writing, side, preparedWaitMs, signal);
  await requireMayEnd(writing, side);
  await requireNoOtherSubscription(writing, side);
  const missing = await missingSequences(writing, following, scope);
  if (missing.length > 0) {
    throw failure(
      'PreconditionFailed',
      `The ${otherSide(side)} lacks sequences: ${missing.slice(0, 20).join(', ')}. Make them there as they are on the ${side}, and retry.`,
    );
  }
}

/** By the role of each session: a superuser's only superusers may end, others their owner, its members and pg_signal_backend. */
const notEndableSql = `
select f.description
  from (${foreignSql}) f join pg_stat_activity a on a.pid = f.pid::int join pg_roles r on r.oid = a.usesysid
 where not (select rolsuper from pg_roles where rolname = current_user)
   and (r.rolsuper or not (pg_has_role(current_user, r.oid, 'USAGE') or pg_has_role(current_user, 'pg_signal_backend', 'USAGE')))
 limit 20`;

async function requireMayEnd(writing: Client, side: WritingSide): Promise<void> {
  const { rows } = await writing.query<{ description: string }>(notEndableSql);
  if (rows.length === 0) return;
  throw failure(
    'AuthDenied',
    `The role of the migration may not end sessions on the ${side}, as the fence must: ${rows.map(({ description }) => description).join('; ')}. Run GRANT pg_signal_backend TO that role there, and end sessions of superusers by hand; then retry.`,
  );
}

async function requireNoOtherSubscription(writing: Client, side: WritingSide): Promise<void> {
  const holes = (await findHoles(writing, { mechanism: 'connection-limit' })).filter((hole) =>
    hole.startsWith('subscription '),
  );
  if (holes.length === 0) return;
  throw failure(
    'PreconditionFailed',
    `The ${side} would be written to behind its fence: ${holes.join('; ')}. Disable it for the time of the cutover, and retry.`,
  );
}
