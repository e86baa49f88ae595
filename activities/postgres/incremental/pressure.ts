// Whether the source has room for us. A pass looks between two parts of its reading; under pressure it waits, says why, and looks again.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { parseDurationMs } from '../../../plan/duration';
import type { IncrementalSettings } from '../../../plan/incremental';
import { failure } from '../../errors';
import type { PostgresConnections } from '../connection';
import { askOne, planSession } from '../plan-query';
import type { PostgresScope } from '../scope';

export type PressureSettings = IncrementalSettings['pressure'];

const tooManyConnections = '53300';

export class Pressure {
  private lookedAt = Number.NEGATIVE_INFINITY;
  private readonly intervalMs: number;
  private readonly looks: boolean;

  constructor(
    private readonly connections: PostgresConnections,
    private readonly scope: PostgresScope,
    private readonly settings: PressureSettings,
    private readonly signal: AbortSignal,
    /** With the reason when waiting begins or the reason is another, without one when it goes on. */
    private readonly onWaiting: (reason: string | undefined) => void,
  ) {
    this.intervalMs = parseDurationMs(settings.interval) ?? 5_000;
    // Nothing is above 100 %: a plan without limits costs no look.
    this.looks = settings.maxConnectionsPercent < 100 || Boolean(settings.maxReplicationLag ?? settings.probe);
  }

  /** Resolves when the source has room; at once when it was looked at within the interval. @throws PreconditionFailed when it cannot be known */
  async relax(): Promise<void> {
    if (!this.looks || performance.now() - this.lookedAt < this.intervalMs) return;
    let waiting = false;
    for (;;) {
      const reason = await this.look();
      this.lookedAt = performance.now();
      if (waiting || reason !== undefined) this.onWaiting(reason);
      if (reason === undefined) return;
      waiting = true;
      await sleep(this.intervalMs, undefined, { signal: this.signal });
    }
  }

  /** A session for each look: one that is held would count among those that are too many. */
  private async look(): Promise<string | undefined> {
    const { connections, scope, signal } = this;
    try {
      return await connections.withSession(
        scope.source,
        { side: 'source', purpose: 'pressure', signal, settings: { ...planSession, statement_timeout: '30s' } },
        async (session) =>
          (await this.connectionsUsed(session)) ?? (await this.lag(session)) ?? (await this.probe(session)),
      );
    } catch (error) {
      if (sqlStateOf(error) === tooManyConnections) return 'the source takes no more connections';
      throw error;
    }
  }

  private async connectionsUsed(session: Client): Promise<string | undefined> {
    const { maxConnectionsPercent } = this.settings;
    // What a session is, is hidden from roles without pg_monitor; that it has a database is not.
    const { rows } = await session.query<{ used: string; most: string }>(
      `select count(*) as used, current_setting('max_connections') as most from pg_stat_activity
       where datid is not null and coalesce(backend_type, 'client backend') = 'client backend'`,
    );
    const { used, most } = rows[0] ?? { used: '0', most: '1' };
    const percent = Math.round((Number(used) * 100) / Number(most));
    return percent > maxConnectionsPercent
      ? `${used} of ${most} connections of the source are in use, more than ${maxConnectionsPercent} %`
      : undefined;
  }

  private async lag(session: Client): Promise<string | undefined> {
    const { maxReplicationLag } = this.settings;
    if (maxReplicationLag === undefined) return undefined;
    const { rows } = await session.query<{ hidden: string; ms: string | null }>(
      `select coalesce(bool_or(state is null), false) as hidden, round(max(extract(epoch from replay_lag)) * 1000) as ms from pg_stat_replication`,
    );
    const { hidden, ms } = rows[0] ?? { hidden: 'f', ms: null };
    if (hidden === 't') {
      throw failure(
        'AuthDenied',
        'The lag of the standbys is hidden from the role of the connection to the source. Grant it pg_monitor, or leave incremental.pressure.maxReplicationLag out of the plan.',
      );
    }
    return Number(ms ?? 0) > (parseDurationMs(maxReplicationLag) ?? 0)
      ? `a standby of the source is ${ms} ms behind, more than ${maxReplicationLag}`
      : undefined;
  }

  private async probe(session: Client): Promise<string | undefined> {
    const { probe } = this.settings;
    if (!probe) return undefined;
    const answer = await askOne(session, probe.sql);
    const value = 'value' in answer ? Number(answer.value) : Number.NaN;
    if (Number.isNaN(value) || ('value' in answer && answer.value.trim() === '')) {
      throw failure(
        'PreconditionFailed',
        `The probe incremental.pressure.probe gave no number: ${'error' in answer ? answer.error : 'its value is not one'}. Correct its SQL so that it gives one number.`,
      );
    }
    return value > probe.max ? `the probe gives ${value}, more than ${probe.max}` : undefined;
  }
}

/** As `postgresFailure` notes it. */
function sqlStateOf(error: unknown): unknown {
  const details = typeof error === 'object' && error !== null && 'details' in error ? error.details : undefined;
  const first: unknown = Array.isArray(details) ? details[0] : undefined;
  return typeof first === 'object' && first !== null && 'sqlState' in first ? first.sqlState : undefined;
}
