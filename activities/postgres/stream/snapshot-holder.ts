// One holding of one snapshot, from the making of the slot to its end. The session that exported must not run another statement, so it is
// watched through a second one.
import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { Client } from 'pg';
import { failure, failureType } from '../../errors';
import type { Beat } from '../../heartbeat';
import { cut } from '../copy/copy-stream';
import { applicationNamePrefix, type PostgresConnections } from '../connection';
import { postgresFailure } from '../errors';
import { quoteIdentifier } from '../identifier';
import { requireLedger } from '../ledger';
import { ledgerSchema } from '../scope';
import type { GroupInput } from './groups';
import { groupStream } from './names';
import { dropSlot, readSlots, slotLoss } from './slot';
import { slotBlockers, type SlotBlocker } from './slot-blockers';

const lookMs = 1_000;
/** The source may be out of reach for this long while the holding connection itself stands. */
const blindMs = 60_000;
const answerMs = 10_000;
const goneWithinMs = 10_000;
/** From this version on the options of CREATE_REPLICATION_SLOT stand in brackets. */
const bracketedOptions = 150_000;

export interface HolderProgress {
  state: 'making the slot' | 'holding';
  /** Who keeps the slot from being made, one line each. */
  waitingFor: string[];
}

/** Of the session that holds a group's snapshot, as in pg_stat_activity without its prefix: whoever reads under the snapshot looks for it. */
export function holderPurpose(stream: string): string {
  return `snapshot of ${stream}`;
}

/** The failure that the workflow answers with another group. */
export function snapshotLost(stream: string, why: string): Error {
  return failure(
    'SnapshotLost',
    `The snapshot of the copy group ${stream} is lost: ${why}. Its finished tables keep their stream; the others are copied again in another group.`,
  );
}

/** Ends whatever session still holds or makes the group's snapshot on the source, and waits until it is gone. @throws NotReadyYet (retryable) */
export async function endHolders(source: Client, stream: string, signal?: AbortSignal): Promise<void> {
  const deadline = Date.now() + goneWithinMs;
  for (;;) {
    const { rowCount } = await source.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1 and datname = current_database()',
      [`${applicationNamePrefix} ${holderPurpose(stream)}`],
    );
    if (!rowCount) return;
    if (Date.now() > deadline) {
      throw failure(
        'NotReadyYet',
        `The session that held the snapshot of ${stream} on the source does not end. It is tried again by itself; look at pg_stat_activity when that lasts.`,
      );
    }
    await sleep(25, undefined, { signal });
  }
}

export class SnapshotHolder {
  private readonly stream: string;
  private holder?: Client;
  private watch?: Client;
  private ended = false;

  constructor(
    private readonly connections: PostgresConnections,
    private readonly input: GroupInput & { slotTimeoutMs: number },
    private readonly beat: Beat<HolderProgress>,
  ) {
    this.stream = groupStream(input.scope.migration, input.group).name;
  }

  /** Comes back when cancelled, with how long the snapshot was held. */
  async run(): Promise<{ heldMs: number }> {
    try {
      await this.begin();
      await this.makeSlot();
      const since = Date.now();
      this.beat.report({ state: 'holding', waitingFor: [] });
      await this.hold();
      return { heldMs: Date.now() - since };
    } catch (error) {
      if (stoppedUnasked(this.beat.signal)) throw snapshotLost(this.stream, 'the worker that held it was stopped');
      throw error;
    } finally {
      await Promise.all([this.holder, this.watch].map(closed));
    }
  }

  /** One attempt in the life of a group: a second one would export another snapshot for a copy that has begun. */
  private async begin(): Promise<void> {
    const { scope, group } = this.input;
    const { signal } = this.beat;
    await this.connections.withSession(
      scope.target,
      { side: 'target', purpose: 'begin snapshot', signal },
      async (target) => {
        await requireLedger(target, scope.migration);
        const { rowCount } = await target.query(
          `update ${ledgerSchema}.copy_group set slot_begun_at = clock_timestamp() where id = $1 and state = 'open' and slot_begun_at is null`,
          [group],
        );
        if (!rowCount)
          throw snapshotLost(this.stream, 'another attempt had begun to export it, or the group was given up');
      },
    );
    const source = await this.watching();
    if ((await readSlots(source, [this.stream])).has(this.stream))
      throw snapshotLost(this.stream, 'its slot is there already, from an attempt that is gone');
    const { rowCount } = await source.query('select from pg_publication where pubname = $1', [this.stream]);
    if (rowCount) return;
    throw failure(
      'PreconditionFailed',
      `The publication ${this.stream} is not on the source, and a slot must never be older than its publication. Open the copy group first, then retry.`,
    );
  }

  private async makeSlot(): Promise<void> {
    const { scope, group, slotTimeoutMs } = this.input;
    const watch = await this.watching();
    try {
      const holder = await this.connections.open(scope.source, {
        side: 'source',
        purpose: holderPurpose(this.stream),
        replication: true,
      });
      this.holder = holder;
      holder.once('end', () => (this.ended = true));
      const snapshot = await this.exported(holder, watch, Date.now() + slotTimeoutMs);
      await this.connections.withSession(scope.target, { side: 'target', purpose: 'note snapshot' }, async (target) => {
        const { rowCount } = await target.query(
          `update ${ledgerSchema}.copy_group set snapshot = $2, holder_pid = $3 where id = $1 and state = 'open'`,
          [group, snapshot, pidOf(holder)],
        );
        if (!rowCount) throw snapshotLost(this.stream, 'the group was given up');
      });
    } catch (error) {
      await this.leaveNoSlot();
      this.beat.signal.throwIfAborted();
      throw this.told(error);
    }
  }

  /** The exported snapshot's name; tells in heartbeats for whom it waits. */
  private async exported(holder: Client, watch: Client, deadline: number): Promise<string> {
    const version = await watch.query<{ version: string }>(`select current_setting('server_version_num') as version`);
    const option = Number(version.rows[0]?.version) >= bracketedOptions ? `(SNAPSHOT 'export')` : 'EXPORT_SNAPSHOT';
    const making = holder.query<{ snapshot_name: string }>(
      `CREATE_REPLICATION_SLOT ${quoteIdentifier(this.stream)} LOGICAL pgoutput ${option}`,
    );
    // Awaited below; until then nobody listens.
    making.catch(() => undefined);
    let waitingFor: SlotBlocker[] = [];
    for (;;) {
      const made = await Promise.race([making, sleep(lookMs, undefined, { signal: this.beat.signal })]);
      if (made) {
        const snapshot = made.rows[0]?.snapshot_name;
        if (snapshot) return snapshot;
        throw snapshotLost(this.stream, 'the source gave no name for it');
      }
      waitingFor = await slotBlockers(watch, pidOf(holder));
      this.beat.report({ state: 'making the slot', waitingFor: waitingFor.map(({ line }) => line) });
      if (Date.now() > deadline) throw this.tooLate(waitingFor);
    }
  }

  private tooLate(waitingFor: SlotBlocker[]): Error {
    const seconds = Math.round(this.input.slotTimeoutMs / 1_000);
    const who = waitingFor.length > 0 ? waitingFor.map(({ line }) => line).join('; ') : 'nobody that can be seen now';
    const remedies = waitingFor.map(({ remedy }) => remedy).join('; ');
    return failure(
      'PreconditionFailed',
      `The replication slot ${this.stream} could not be made on the source within ${seconds} s, since a new slot waits for every transaction that writes: ${who}. Let them end${remedies ? `, or end them (${remedies})` : ''}, then retry.`,
    );
  }

  /** Of whatever ended the making: what a person must mend stays what it is, everything else is the loss of a snapshot. */
  private told(error: unknown): Error {
    const told = postgresFailure(error, 'source', `Making the replication slot ${this.stream}`);
    const remedy = remedies[sqlStateOf(told) ?? ''];
    if (remedy !== undefined) {
      return failure(
        'PreconditionFailed',
        `The replication slot ${this.stream} could not be made on the source: ${remedy}, then retry.`,
      );
    }
    const type = failureType(told);
    if (type === 'PreconditionFailed' || type === 'AuthDenied' || type === 'SnapshotLost') return told;
    return snapshotLost(this.stream, told.message.replace(/\.\s.*$/s, ''));
  }

  private async leaveNoSlot(): Promise<void> {
    // When the source is out of reach, giving the group up does the same.
    try {
      const source = await this.watching();
      await endHolders(source, this.stream);
      await dropSlot(source, this.stream, 'source');
    } catch {
      await this.forgetWatch();
    }
  }

  private async hold(): Promise<void> {
    const { signal } = this.beat;
    let seenAt = Date.now();
    for (;;) {
      if (stoppedUnasked(signal)) signal.throwIfAborted();
      if (signal.aborted) return;
      if (this.ended) throw snapshotLost(this.stream, 'the connection that held it to the source was cut');
      const lost = await this.look().catch(() => 'blind' as const);
      if (lost === undefined) seenAt = Date.now();
      else if (lost === 'blind') await this.forgetWatch();
      else throw snapshotLost(this.stream, lost);
      if (Date.now() - seenAt > blindMs) throw snapshotLost(this.stream, 'the source cannot be reached');
      await sleep(lookMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Why the snapshot or its slot is gone, as the source sees it; undefined while both are there. */
  private async look(): Promise<string | undefined> {
    const source = await this.watching();
    const answer = (async () => {
      const { rowCount } = await source.query('select from pg_stat_activity where pid = $1 and application_name = $2', [
        this.holder ? pidOf(this.holder) : 0,
        `${applicationNamePrefix} ${holderPurpose(this.stream)}`,
      ]);
      if (!rowCount) return 'the session that held it on the source is gone';
      return slotLoss((await readSlots(source, [this.stream])).get(this.stream), this.stream, 'source');
    })();
    answer.catch(() => undefined);
    return Promise.race([
      answer,
      sleep(answerMs, undefined, { ref: false }).then(() => Promise.reject(new Error('no answer'))),
    ]);
  }

  private async watching(): Promise<Client> {
    this.watch ??= await this.connections.open(this.input.scope.source, {
      side: 'source',
      purpose: `watch ${holderPurpose(this.stream)}`,
    });
    return this.watch;
  }

  private async forgetWatch(): Promise<void> {
    const { watch } = this;
    this.watch = undefined;
    await closed(watch);
  }
}

/** In order where the other end still answers. */
async function closed(client: Client | undefined): Promise<void> {
  if (!client) return;
  await Promise.race([client.end().catch(() => undefined), sleep(lookMs, undefined, { ref: false })]);
  cut(client);
}

/** What no other group would be spared. */
const remedies: Record<string, string> = {
  '53400':
    'all its slots are in use. Raise max_replication_slots there or drop slots that nobody needs (pg_replication_slots)',
  '53300':
    'it takes no more connections of WAL senders. Raise max_wal_senders there or end those that nobody needs (pg_stat_replication)',
};

function sqlStateOf(told: Error): string | undefined {
  const details: unknown = told instanceof ApplicationFailure ? told.details?.[0] : undefined;
  const state: unknown =
    typeof details === 'object' && details !== null && 'sqlState' in details ? details.sqlState : undefined;
  return typeof state === 'string' ? state : undefined;
}

function pidOf(client: Client): number {
  return (client as unknown as { processID: number }).processID;
}

/** A worker that stops, or an attempt that is taken back, ends like a cancellation, but no workflow has asked for it. */
function stoppedUnasked({ aborted, reason }: AbortSignal): boolean {
  return aborted && reason instanceof CancelledFailure && reason.message !== 'CANCELLED';
}
