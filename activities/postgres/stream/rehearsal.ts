// The way back, tried before it is needed: a stream of the marker alone, over the same road, by the same roles, with the same limits.
// What would fail in the outage fails here, where nobody waits.
import { setTimeout as sleep } from 'node:timers/promises';
import { failure } from '../../errors';
import type { PostgresConnections } from '../connection';
import { quoteIdentifier } from '../identifier';
import type { PostgresScope } from '../scope';
import { ensureMarker, markerTable, passMarker } from './marker';
import { migrationKey, trialStream, type Leg, type Stream } from './names';
import { dropObjects } from './objects';
import type { Sides } from './sides';
import { makeSlot } from './slot';
import { startSubscriptions, subscribeTo, whyNotStarted } from './subscription';

const passesWithinMs = 20_000;

/** @throws PreconditionFailed, AuthDenied naming what fails; SourceUnavailable, TargetUnavailable, NotReadyYet (retryable) */
export async function rehearse(
  connections: PostgresConnections,
  scope: PostgresScope,
  leg: Leg,
  sides: Sides,
  signal: AbortSignal,
): Promise<{ ms: number; evidence: string[] }> {
  const trial = trialStream(scope.migration, leg + 1);
  const which = { key: migrationKey(scope.migration), suffix: 'try[0-9]+' };
  await dropObjects(sides, which, signal);
  const [outcome] = await Promise.allSettled([tried(connections, scope, leg, sides, trial, signal)]);
  const { left } = await dropObjects(sides, which, signal);
  await letLauncherRest(sides, trial, signal);
  if (outcome.status === 'rejected') throw outcome.reason;
  if (left.length > 0) {
    throw failure(
      'NotReadyYet',
      `Of the rehearsed stream there is still ${left.join('; ')}. It is tried again by itself; remove it by hand when that lasts.`,
    );
  }
  const { ms, evidence } = outcome.value;
  return { ms, evidence: [...evidence, ...(await room(sides, trial))] };
}

async function tried(
  connections: PostgresConnections,
  scope: PostgresScope,
  leg: Leg,
  sides: Sides,
  trial: Stream,
  signal: AbortSignal,
): Promise<{ ms: number; evidence: string[] }> {
  const [gains, loses] = [sides[trial.from], sides[trial.to]];
  await ensureMarker(gains, trial);
  await ensureMarker(loses, trial);
  await gains.query(`create publication ${quoteIdentifier(trial.name)} for table only ${markerTable(trial)}`);
  const started = performance.now();
  await makeSlot(gains, trial, signal);
  const slotMs = Math.round(performance.now() - started);
  await subscribeTo(connections, scope, loses, trial, leg + 1);
  await startSubscriptions(sides, [trial], signal);
  await passMarker(gains, loses, [trial], { signal, timeoutMs: passesWithinMs }).catch(async (error: unknown) => {
    signal.throwIfAborted();
    throw failure(
      'PreconditionFailed',
      `The rehearsed stream from the ${trial.from} to the ${trial.to} passes no marker: ${await whyNotStarted(loses, [trial.name], trial)}. Mend it and retry; the way back would fail on it.`,
      {},
      error,
    );
  });
  const ms = Math.round(performance.now() - started);
  return {
    ms,
    evidence: [
      `slot on the ${trial.from} made in ${slotMs} ms`,
      `subscription on the ${trial.to} made and a marker of the ${trial.from} seen there after ${ms} ms in all`,
      'both removed again',
    ],
  };
}

/** What is still free once the trial is gone, on the side that makes the slot and on the one that subscribes. */
async function room(sides: Sides, { from, to }: Stream): Promise<string[]> {
  const slots = await sides[from].query<{ free: string; senders: string }>(
    `select current_setting('max_replication_slots')::int - (select count(*) from pg_replication_slots) as free,
            current_setting('max_wal_senders')::int - (select count(*) from pg_stat_replication) as senders`,
  );
  const workers = await sides[to].query<{ free: string }>(
    `select current_setting('max_logical_replication_workers')::int - (select count(*) from pg_stat_subscription where pid is not null) as free`,
  );
  return [
    `on the ${from} ${slots.rows[0]?.free ?? '?'} slots and ${slots.rows[0]?.senders ?? '?'} WAL senders are free, on the ${to} ${workers.rows[0]?.free ?? '?'} replication workers (one of each was the trial's)`,
  ];
}

/** Servers before 16 start no worker within `wal_retrieve_retry_interval` of the one before: the turn itself must not have to wait for it. */
async function letLauncherRest(sides: Sides, { to }: Stream, signal: AbortSignal): Promise<void> {
  const { rows } = await sides[to].query<{ version: string; pause: string }>(
    `select current_setting('server_version_num') as version, setting as pause from pg_settings where name = 'wal_retrieve_retry_interval'`,
  );
  if (Number(rows[0]?.version) < 160_000) await sleep(Number(rows[0]?.pause), undefined, { signal });
}
