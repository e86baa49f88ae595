// The machinery under every migration: steps, gates, compensation, blocking, pausing, interruption.
// The journal is the single source of progress; status, details and search attributes are made from it.
import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  isCancellation,
  log,
  sleep,
} from '@temporalio/workflow';
import type { FailureType } from '../journal/failure-types';
import type { GateRecord, Journal, StepRecord } from '../journal/types';
import { formatDurationMs } from '../plan/duration';
import { ruleOf, type GateName, type Gates } from '../plan/gates';
import { CompensationStack, pauseBeforeAnotherTry, type Compensation } from './compensation';
import { close, openGate, reminderMs } from './gate';
import { gateWords } from './gate-words';
import { describeFailure, Logbook, typeOfFailure, type Answer } from './logbook';

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

export interface StepOptions<Result> {
  /** Pushed on the compensation stack before the action starts, so a step that half happened is undone. Idempotent. Returns one line for the journal. */
  undo?: () => Promise<string | void>;
  undoTitle?: string;
  /** Steps whose undo must have worked (or been given up) before this one is tried. */
  undoNeeds?: string[];
  skippable?: boolean;
  /** A failure of this type leaves it out without asking: the side it works on is known to be away, and the other must not wait for it. */
  leftOutOn?: FailureType;
  /** Blocked, it is tried again by itself as well, ever less often: an outage that passes in the night must not wait for a person. */
  againByItself?: boolean;
  /** The application cannot write while this step runs. */
  downtime?: boolean;
  /** Failed for good, it asks nobody but ends the attempt like a deadline that has passed: writes are stopped, and people are slow. */
  givesUp?: boolean;
  /** A pause does not hold it: neither side takes writes until it is done. */
  evenPaused?: boolean;
  /** One line for people. */
  describe?: (result: Result) => string;
}

/** A step of a rehearsal that is tried again by itself: an outage of seconds must not spoil it, a longer one does. */
const triesInRehearsal = 3;

export class Runbook extends Logbook {
  private readonly stack = new CompensationStack(this, () => (this.rehearsal ? 1 : Infinity));
  private interruption?: Interrupted;
  private running?: CancellationScope;
  /** Compensations run: the forward path stands still. */
  rollingBack = false;
  /** The migration only comes to its end now, or goes back for good: nothing can be asked for any more. */
  ending = false;
  private rollbackAfterUnwind?: Interrupted;
  /** On scratch servers, where nobody is asked: what fails ends it, and its way back begins where this says. */
  rehearsal?: { goesBack: 'before-switch' | 'after-switch'; reachedAt?: string };

  constructor(
    journal: Journal,
    private readonly gates: Gates,
  ) {
    super(journal);
  }

  get pastNoReturn(): boolean {
    return this.journal.pointOfNoReturnAt !== undefined;
  }

  // ---- steps ---------------------------------------------------------------------------------------------------

  /** Runs one step. A failure for good blocks until `retry`, `skip` (where allowed: then undefined) or a rollback. */
  async step<Result>(
    id: string,
    title: string,
    action: () => Promise<Result>,
    options: StepOptions<Result> = {},
  ): Promise<Result | undefined> {
    if (!options.evenPaused) await this.whilePaused();
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
        if (options.leftOutOn && typeOfFailure(error) === options.leftOutOn) {
          record.result = 'left out: it cannot be reached';
          this.end(record, 'skipped');
          return undefined;
        }
        this.end(record, 'failed');
        if (options.givesUp) {
          this.interrupt('deadline', record.failure);
          this.throwIfInterrupted();
        }
        const choice =
          this.endOfRehearsal(record, options) ??
          (await this.blocked(record, options.againByItself ? pauseBeforeAnotherTry(record.retries + 3) : undefined));
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

  /** Where a migration would wait for people, a rehearsal goes back, or, where it goes back already, ends: its scratch databases are emptied in any case. */
  private endOfRehearsal(record: StepRecord, options: Pick<StepOptions<unknown>, 'againByItself'>): Answer | undefined {
    if (!this.rehearsal || (options.againByItself && record.retries < triesInRehearsal)) return undefined;
    const failed = `step ${record.id} failed: ${record.failure ?? ''}`;
    if (!this.ending && !this.rollingBack && !this.goingBack) {
      this.interrupt('rollback', failed);
      this.throwIfInterrupted();
    }
    if (record.skippable) return { kind: 'skip', by: 'the rehearsal', reason: 'nobody is asked' };
    throw ApplicationFailure.nonRetryable(`The way back of the rehearsal failed: ${failed}`, 'NotUndone');
  }

  /** The forward way of a rehearsal is over: what comes now is its way back. */
  endOfForwardWay(kind: InterruptKind): Interrupted {
    if (this.rehearsal) this.rehearsal.reachedAt = this.now().toISOString();
    return new Interrupted(kind, 'rehearsed to the switch; now the way back');
  }

  /** @param againMs after this time nobody's answer is a retry */
  private async blocked(record: StepRecord, againMs?: number): Promise<Answer> {
    log.warn('step blocked', { step: record.id, failure: record.failure });
    const blocked = {
      step: record.id,
      failure:
        againMs === undefined
          ? (record.failure ?? '').replace(
              /It is tried again by itself(; [^.]*)?\./g,
              'It was tried several times$1, then retry.',
            )
          : `${record.failure ?? ''} (tried again by itself after ${formatDurationMs(againMs)})`,
      skippable: record.skippable,
      ...(this.ending ? { ending: true } : {}),
    };
    const before = this.journal.phase;
    this.phase('blocked');
    try {
      for (;;) {
        const answer = await this.whileBlocked(blocked, (answered) =>
          this.wait(
            answered,
            `Blocked at ${record.id}: retry, ${record.skippable ? 'skip, ' : ''}or rollback`,
            againMs,
          ),
        );
        if (answer) return answer;
        if (againMs !== undefined) return { kind: 'retry', by: 'itself' };
      }
    } finally {
      this.phase(before);
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

  /** Runs work against the clock: when the time is over first, the forward path is left for `deadline`, and `over` is the reason. */
  async withDeadline<Result>(
    limitMs: number,
    { summary, over }: { summary: string; over: string },
    work: () => Promise<Result>,
  ): Promise<Result> {
    const clock = new CancellationScope();
    const ticking = clock.run(async () => {
      await sleep(limitMs, { summary });
      this.interrupt('deadline', over);
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

  /** @returns whether there was a pause to wait for. Who goes back or ends, by a cancellation too, waits for no resume. */
  async whilePaused(): Promise<boolean> {
    if (this.rollingBack || this.ending) delete this.journal.paused;
    if (!this.paused) return false;
    await this.wait(() => !this.paused, `Paused by ${this.journal.paused?.by}: waiting for resume`);
    return true;
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

  /** As `gate`, but a rejection is an answer for the caller. @param words that the reason of an approval must hold */
  async ask(name: GateName, evidence: string[], words?: string): Promise<'approved' | 'rejected'> {
    await this.whilePaused();
    this.throwIfInterrupted();
    const gate = openGate(name, evidence, ruleOf(this.gates, name), this.now(), words);
    this.noteGate(gate);
    if (gate.state === 'auto') return 'approved';
    try {
      await this.untilClosed(gate);
    } catch (error) {
      if (gate.state === 'open') close(gate, 'withdrawn', this.now());
      throw error;
    } finally {
      this.noGate();
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

  /** As `ask`, again and again until it is approved: for what has to be done by hand before anything can go on. */
  async insist(name: GateName, evidence: string[]): Promise<void> {
    for (let timedOut = 0; (await this.ask(name, evidence)) === 'rejected';) {
      this.note(`Gate ${name} opens again: what it asks for has to be done before anything can go on.`);
      // A weekend of short time limits must not fill the history.
      if (this.journal.gates.findLast((gate) => gate.name === name)?.state === 'timed-out') timedOut += 1;
      const pauseMs = Math.min(10_000 * 2 ** Math.max(timedOut - 1, 0), 3_600_000);
      await this.wait(() => false, `Until gate ${name} opens again`, pauseMs);
    }
  }

  // ---- compensation --------------------------------------------------------------------------------------------

  /** Puts a compensation on the stack that belongs to no step of ours: something that a person did. */
  compensate(id: string, title: string, undo: Compensation['undo'], needs: string[] = []): void {
    this.stack.push({ id, title, undo, needs });
  }

  /** A place on the compensation stack to unwind to. */
  mark(): number {
    return this.stack.mark();
  }

  /** From here on the undo stack means nothing any more: going back is another procedure. */
  pointOfNoReturn(): void {
    this.throwIfInterrupted();
    if (CancellationScope.current().consideredCancelled)
      throw new CancelledFailure('cancelled before the point of no return');
    if (this.rehearsal?.goesBack === 'before-switch') throw this.endOfForwardWay('rollback');
    this.stack.forget();
    this.journal.pointOfNoReturnAt = this.now().toISOString();
    this.show();
  }

  /** The way back was gone to its end without losing anything: what is done from here on can be undone again. */
  noReturnUndone(): void {
    delete this.journal.pointOfNoReturnAt;
    this.show();
  }

  /** Runs the compensations above `mark`, newest first, shielded from cancellation. Returns what was given up. */
  async unwind(reason: string, mark = 0): Promise<string[]> {
    return CancellationScope.nonCancellable(async () => {
      this.rollingBack = true;
      delete this.journal.paused;
      this.journal.reason = reason;
      this.phase('rolling-back');
      this.show();
      const givenUp = await this.stack.unwind(mark);
      this.rollingBack = false;
      return givenUp;
    });
  }
}
