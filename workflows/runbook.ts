// The machinery under every migration: steps, journal, gates, compensation, blocking, pausing, interruption.
// The journal is the single source of progress; status, details and search attributes are made from it.
import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  isCancellation,
  log,
  setCurrentDetails,
  sleep,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { defineSearchAttributeKey } from '@temporalio/common';
import type { GateRecord, Journal, StepRecord } from '../journal/types';
import { formatDurationMs } from '../plan/duration';
import { ruleOf, type GateName, type Gates } from '../plan/gates';
import { renderDetails } from './board';
import { close, openGate, reminderMs } from './gate';
import { gateWords } from './gate-words';

const phaseKey = defineSearchAttributeKey('MigrationPhase', 'KEYWORD');
const kindKey = defineSearchAttributeKey('MigrationKind', 'KEYWORD');
const gateKey = defineSearchAttributeKey('MigrationGate', 'KEYWORD');

/** Why the forward path was left: by a person, a gate, the deadline, or a cancellation. */
export type InterruptKind = 'rollback' | 'rejected' | 'deadline' | 'way-back';

/** Thrown out of a step or a gate when the forward path ends; caught only by the migration itself. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  constructor(
    readonly kind: InterruptKind,
    readonly reason: string,
  ) {
    super(reason);
  }
}

/** What a person said to something blocked. */
interface Answer {
  kind: 'retry' | 'skip';
  by: string;
  reason?: string;
}

interface Compensation {
  id: string;
  needs: string[];
  title: string;
  undo: () => Promise<string | void>;
}

export interface StepOptions<Result> {
  /** Pushed on the compensation stack before the action starts, so a step that half happened is undone. Idempotent. Returns one line for the journal. */
  undo?: () => Promise<string | void>;
  undoTitle?: string;
  /** Steps whose undo must have worked (or been given up) before this one is tried. */
  undoNeeds?: string[];
  skippable?: boolean;
  /** The application cannot write while this step runs. */
  downtime?: boolean;
  /** One line for people. */
  describe?: (result: Result) => string;
}

export class Runbook {
  private stack: Compensation[] = [];
  private interruption?: Interrupted;
  private running?: CancellationScope;
  private answer?: Answer;
  private skippedUndo = new Set<string>();
  /** Compensations run: the forward path stands still. */
  rollingBack = false;
  /** The migration only comes to its end now, or goes back for good: nothing can be asked for any more. */
  ending = false;
  private rollbackAfterUnwind?: Interrupted;

  constructor(
    readonly journal: Journal,
    private readonly gates: Gates,
  ) {}

  // ---- reading and showing -------------------------------------------------------------------------------------

  now(): Date {
    return new Date(Date.now());
  }

  openGate(): GateRecord | undefined {
    return this.journal.gates.find(({ state }) => state === 'open');
  }

  get pastNoReturn(): boolean {
    return this.journal.pointOfNoReturnAt !== undefined;
  }

  /** The first thing a migration does: it can be found and seen, also when no worker is up. */
  announce(): void {
    upsertSearchAttributes([
      { key: kindKey, value: this.journal.kind },
      { key: phaseKey, value: this.journal.phase },
      { key: gateKey, value: 'none' },
    ]);
    this.show();
  }

  /** Shows the journal again after anything in it has changed. */
  show(): void {
    setCurrentDetails(renderDetails(this.journal));
  }

  phase(name: string): void {
    if (this.journal.phase === name) return;
    this.journal.phase = name;
    upsertSearchAttributes([{ key: phaseKey, value: name }]);
    this.show();
  }

  note(text: string, by?: string): void {
    this.journal.notes.push({ at: this.now().toISOString(), text, by });
    this.show();
  }

  // ---- steps ---------------------------------------------------------------------------------------------------

  /** Runs one step. A failure for good blocks until `retry`, `skip` (where allowed: then undefined) or a rollback. */
  async step<Result>(
    id: string,
    title: string,
    action: () => Promise<Result>,
    options: StepOptions<Result> = {},
  ): Promise<Result | undefined> {
    await this.whilePaused();
    const record = this.begin(id, title, options);
    if (options.undo) this.compensate(id, options.undoTitle ?? `Undo: ${title}`, options.undo, options.undoNeeds);
    for (;;) {
      try {
        const result = await this.interruptible(action);
        record.result = options.describe?.(result);
        this.end(record, 'done');
        return result;
      } catch (error) {
        if (error instanceof Interrupted || isCancellation(error)) {
          record.failure = error instanceof Interrupted ? `stopped: ${error.reason}` : 'stopped: cancelled';
          this.end(record, 'failed');
          throw error;
        }
        record.failure = describeFailure(error);
        this.end(record, 'failed');
        const choice = await this.blocked(record);
        if (choice.kind === 'skip') {
          record.result = `skipped by ${choice.by}: ${choice.reason ?? ''}`;
          this.end(record, 'skipped');
          return undefined;
        }
        record.retries += 1;
        record.state = 'running';
        delete record.failure;
        this.show();
      }
    }
  }

  private begin(id: string, title: string, options: { skippable?: boolean; downtime?: boolean }): StepRecord {
    const record: StepRecord = {
      id,
      title,
      phase: this.journal.phase,
      state: 'running',
      startedAt: this.now().toISOString(),
      retries: 0,
      skippable: options.skippable ?? false,
      ...(options.downtime ? { downtime: true } : {}),
    };
    this.journal.steps.push(record);
    this.show();
    return record;
  }

  private end(record: StepRecord, state: StepRecord['state']): void {
    const now = this.now();
    record.state = state;
    record.endedAt = now.toISOString();
    record.durationMs = now.getTime() - Date.parse(record.startedAt);
    this.show();
  }

  private async blocked(record: StepRecord): Promise<Answer> {
    log.warn('step blocked', { step: record.id, failure: record.failure });
    this.answer = undefined;
    this.journal.blocked = {
      step: record.id,
      failure: (record.failure ?? '').replace(
        /It is tried again by itself(; [^.]*)?\./g,
        'It was tried several times$1, then retry.',
      ),
      skippable: record.skippable,
      ...(this.ending ? { ending: true } : {}),
    };
    const before = this.journal.phase;
    this.phase('blocked');
    this.show();
    try {
      await this.wait(
        () => this.answer !== undefined,
        `Blocked at ${record.id}: retry, ${record.skippable ? 'skip, ' : ''}or rollback`,
      );
      return this.answer as unknown as Answer;
    } finally {
      this.answer = undefined;
      delete this.journal.blocked;
      this.phase(before);
      this.show();
    }
  }

  // ---- waiting -------------------------------------------------------------------------------------------------

  /** Runs work that an interruption or a cancellation stops; comes back only when it has really stopped. */
  async interruptible<Result>(work: () => Promise<Result>): Promise<Result> {
    this.throwIfInterrupted();
    const scope = new CancellationScope();
    const outer = this.running;
    this.running = scope;
    try {
      return await scope.run(work);
    } catch (error) {
      if (isCancellation(error)) this.throwIfInterrupted();
      throw error;
    } finally {
      this.running = outer;
    }
  }

  /** Waits for a condition as long as it takes, visible in the history as a named timer. */
  async wait(until: () => boolean, summary: string, timeoutMs?: number): Promise<boolean> {
    return this.interruptible(async () => {
      if (timeoutMs !== undefined) return condition(until, timeoutMs, { summary: summary.slice(0, 180) });
      while (!(await condition(until, reminderMs, { summary: summary.slice(0, 180) }))) this.show();
      return true;
    });
  }

  /** Runs work against the clock: when the time is over first, the forward path is left for `deadline`. */
  async withDeadline<Result>(limitMs: number, summary: string, work: () => Promise<Result>): Promise<Result> {
    const clock = new CancellationScope();
    const ticking = clock.run(async () => {
      await sleep(limitMs, { summary });
      this.interrupt(
        'deadline',
        `${formatDurationMs(limitMs)} without writes have passed before the switch was reached`,
      );
    });
    ticking.catch(() => undefined);
    try {
      return await work();
    } finally {
      clock.cancel();
    }
  }

  /** Leaves the forward path: stops what runs, and makes the next step throw. The first reason counts. */
  interrupt(kind: InterruptKind, reason: string): void {
    if (this.rollingBack && kind === 'rollback') this.rollbackAfterUnwind ??= new Interrupted(kind, reason);
    if (this.interruption) return;
    this.interruption = new Interrupted(kind, reason);
    // Who goes back does not wait for a resume.
    delete this.journal.paused;
    this.running?.cancel();
  }

  private throwIfInterrupted(): void {
    if (this.interruption && !this.rollingBack) throw this.interruption;
  }

  /** After an interruption was dealt with and the forward path begins anew. @throws Interrupted when a rollback was asked for meanwhile */
  clearInterruption(): void {
    this.interruption = undefined;
    const next = this.rollbackAfterUnwind;
    this.rollbackAfterUnwind = undefined;
    if (next && !this.ending) throw next;
  }

  get interrupted(): Interrupted | undefined {
    return this.interruption;
  }

  pause(by: string, reason?: string): void {
    this.journal.paused = { by, reason, at: this.now().toISOString() };
    this.show();
  }

  resume(): void {
    delete this.journal.paused;
    this.show();
  }

  get paused(): boolean {
    return this.journal.paused !== undefined;
  }

  async whilePaused(): Promise<void> {
    if (!this.paused || this.rollingBack) return;
    await this.wait(() => !this.paused, `Paused by ${this.journal.paused?.by}: waiting for resume`);
  }

  /** Retry or skip of what is blocked; the caller has checked that it applies. */
  answerBlocked(kind: 'retry' | 'skip', by: string, reason?: string): void {
    this.answer = { kind, by, reason };
  }

  // ---- gates ---------------------------------------------------------------------------------------------------

  /** Opens a gate and waits for the people that the plan asks for. @throws Interrupted `rejected` */
  async gate(name: GateName, evidence: string[]): Promise<void> {
    if ((await this.ask(name, evidence)) === 'rejected') {
      const last = this.journal.gates.at(-1);
      const person = last?.decisions.find(({ decision }) => decision === 'reject');
      const why = person
        ? `gate ${name} was rejected by ${person.by}${person.reason ? `: ${person.reason}` : ''}`
        : `nobody decided on gate ${name} in time`;
      throw new Interrupted('rejected', why);
    }
  }

  /** As `gate`, but a rejection is an answer for the caller. */
  async ask(name: GateName, evidence: string[]): Promise<'approved' | 'rejected'> {
    await this.whilePaused();
    this.throwIfInterrupted();
    const gate = openGate(name, evidence, ruleOf(this.gates, name), this.now());
    this.journal.gates.push(gate);
    if (gate.state === 'auto') {
      this.show();
      return 'approved';
    }
    upsertSearchAttributes([{ key: gateKey, value: name }]);
    this.show();
    try {
      await this.untilClosed(gate);
    } catch (error) {
      if (gate.state === 'open') close(gate, 'withdrawn', this.now());
      throw error;
    } finally {
      upsertSearchAttributes([{ key: gateKey, value: 'none' }]);
      this.show();
    }
    return gate.state === 'approved' ? 'approved' : 'rejected';
  }

  private async untilClosed(gate: GateRecord): Promise<void> {
    const closed = (): boolean => gate.state !== 'open';
    const summary = `Gate ${gate.name}: ${gateWords[gate.name as GateName]}`;
    if (gate.closesAt) {
      const inTime = await this.wait(closed, summary, Date.parse(gate.closesAt) - this.now().getTime());
      // Decision and time limit may arrive together, after the worker was away: the decision was made in time.
      if (inTime || closed()) return;
      if (gate.onTimeout === 'reject') {
        close(gate, 'timed-out', this.now());
        return;
      }
      this.note(`Gate ${gate.name} is past its time limit and stays open, as the plan says.`);
    }
    await this.wait(closed, summary);
  }

  // ---- compensation --------------------------------------------------------------------------------------------

  /** Puts a compensation on the stack that belongs to no step of ours: something that a person did. */
  compensate(id: string, title: string, undo: Compensation['undo'], needs: string[] = []): void {
    this.stack.push({ id, title, undo, needs });
  }

  /** As `ask`, again and again until it is approved: for what has to be done by hand before anything can go on. */
  async insist(name: GateName, evidence: string[]): Promise<void> {
    while ((await this.ask(name, evidence)) === 'rejected') {
      this.note(`Gate ${name} opens again: what it asks for has to be done before anything can go on.`);
      await this.wait(() => false, `Until gate ${name} opens again`, 10_000);
    }
  }

  /** A place on the compensation stack to unwind to. */
  mark(): number {
    return this.stack.length;
  }

  /** From here on the undo stack means nothing any more: going back is another procedure. */
  pointOfNoReturn(): void {
    this.throwIfInterrupted();
    if (CancellationScope.current().consideredCancelled)
      throw new CancelledFailure('cancelled before the point of no return');
    this.stack = [];
    this.journal.pointOfNoReturnAt = this.now().toISOString();
    this.show();
  }

  /**
   * Runs the compensations above `mark`, newest first, shielded from cancellation. One that fails lets the others go on and is tried again,
   * with growing pauses, until it works or a person skips it; only what needs its effect waits for it. Returns what was given up.
   */
  async unwind(reason: string, mark = 0): Promise<string[]> {
    return CancellationScope.nonCancellable(async () => {
      this.rollingBack = true;
      this.journal.reason = reason;
      this.phase('rolling-back');
      this.show();
      const above = this.stack.splice(mark).reverse();
      let pending = above.map((compensation) => ({ compensation, record: undefined as StepRecord | undefined }));
      for (let round = 0; pending.length > 0; round += 1) {
        const failed: typeof pending = [];
        for (const item of pending) {
          const waitsFor = pending.filter(
            (other) =>
              item.compensation.needs.includes(other.compensation.id) &&
              other.record?.state !== 'undone' &&
              other.record?.state !== 'skipped',
          );
          if (waitsFor.length > 0) {
            failed.push(item);
            continue;
          }
          item.record ??= this.begin(`undo-${item.compensation.id}`, item.compensation.title, { skippable: true });
          if (!(await this.tryUndo(item.compensation, item.record))) failed.push(item);
        }
        pending = failed.filter(({ record }) => record?.state !== 'skipped');
        if (pending.length > 0)
          await this.beforeUndoAgain(
            pending.filter(({ record }) => record),
            round,
          );
        pending = pending.filter(({ record }) => record?.state !== 'skipped');
      }
      this.rollingBack = false;
      return above.filter(({ id }) => this.skippedUndo.has(id)).map(({ title }) => title);
    });
  }

  private async tryUndo({ id, undo }: Compensation, record: StepRecord): Promise<boolean> {
    record.state = 'undoing';
    this.show();
    try {
      record.result = (await undo()) ?? undefined;
      delete record.failure;
      this.end(record, 'undone');
      return true;
    } catch (error) {
      record.failure = describeFailure(error);
      this.end(record, 'undo-failed');
      log.error('compensation failed', { step: id, failure: record.failure });
      return false;
    }
  }

  private async beforeUndoAgain(
    pending: { compensation: Compensation; record?: StepRecord }[],
    round: number,
  ): Promise<void> {
    // A server that comes back is noticed within a minute during the first half hour; after that, events must stay few.
    const pauseMs =
      round < 30
        ? Math.min(10_000 * 2 ** round, 60_000)
        : Math.min(600_000 * 2 ** Math.floor((round - 30) / 100), 3_600_000);
    const first = pending[0];
    if (!first?.record) return;
    this.journal.blocked = {
      step: first.record.id,
      failure: first.record.failure ?? '',
      skippable: true,
      ending: true,
    };
    this.answer = undefined;
    this.show();
    await condition(() => this.answer !== undefined, pauseMs, {
      summary: `Undo ${first.compensation.id} failed: again in ${formatDurationMs(pauseMs)}, or retry, or skip`,
    });
    // The handler has assigned it while we waited; the compiler cannot know.
    const answer = this.answer as Answer | undefined;
    if (answer?.kind === 'skip') {
      this.skippedUndo.add(first.compensation.id);
      first.record.result = `given up by ${answer.by}: ${answer.reason ?? ''}`;
      this.end(first.record, 'skipped');
    }
    this.answer = undefined;
    delete this.journal.blocked;
    this.show();
  }
}

/** What really failed, through Temporal's wrappers: the failure that an activity threw, on one line; no stack. */
export function describeFailure(error: unknown): string {
  const thrown = innermost(error);
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const type = thrown instanceof ApplicationFailure && thrown.type !== 'Error' ? thrown.type : undefined;
  const text = `${type ? `${type}: ` : ''}${message}`.replaceAll(/\s+/g, ' ');
  return text.length > 1_500 ? `${text.slice(0, 1_499)}…` : text;
}

/** The first failure that carries a type of its own; otherwise the last cause. */
function innermost(error: unknown): unknown {
  if (error instanceof ApplicationFailure && error.type && error.type !== 'Error') return error;
  return error instanceof Error && error.cause ? innermost(error.cause) : error;
}

/** The beginning of a journal. */
export function newJournal(kind: Journal['kind'], plan: Journal['plan']): Journal {
  const { workflowId, runId, startTime } = workflowInfo();
  return {
    migration: workflowId,
    runId,
    kind,
    plan,
    phase: 'new',
    startedAt: startTime.toISOString(),
    steps: [],
    gates: [],
    refused: [],
    notes: [],
    artifacts: [],
    left: [],
  };
}
