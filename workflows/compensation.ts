// What undoes the steps, newest first. A compensation that fails lets the others go on and is tried again until it works or a
// person gives it up; only what needs its effect waits for it.
import { condition, log } from '@temporalio/workflow';
import type { StepRecord } from '../journal/types';
import { formatDurationMs } from '../plan/duration';
import { describeFailure, type Logbook } from './logbook';

export interface Compensation {
  id: string;
  /** Ids of the compensations that must have worked, or been given up, before this one is tried. */
  needs: string[];
  title: string;
  /** Idempotent. Returns one line for the journal. */
  undo: () => Promise<string | void>;
}

/** A compensation under way; its record exists once it was tried. */
interface Pending {
  compensation: Compensation;
  record?: StepRecord;
}

/** A server that comes back is noticed within a minute during the first half hour; after that, events must stay few. */
export function pauseBeforeAnotherTry(round: number): number {
  return round < 30
    ? Math.min(10_000 * 2 ** round, 60_000)
    : Math.min(600_000 * 2 ** Math.floor((round - 30) / 100), 3_600_000);
}

export class CompensationStack {
  private stack: Compensation[] = [];
  private readonly givenUp = new Set<string>();

  constructor(
    private readonly book: Logbook,
    /** What fails so often is given up: where nobody is asked. */
    private readonly mostRounds: () => number = () => Infinity,
  ) {}

  push(compensation: Compensation): void {
    this.stack.push(compensation);
  }

  /** A place to unwind to. */
  mark(): number {
    return this.stack.length;
  }

  /** Nothing that was done so far is undone by this stack any more. */
  forget(): void {
    this.stack = [];
  }

  /** Runs the compensations above `mark`, newest first. Returns the titles of those that were given up. */
  async unwind(mark: number): Promise<string[]> {
    const above = this.stack.splice(mark).reverse();
    let pending: Pending[] = above.map((compensation) => ({ compensation }));
    for (let round = 0; pending.length > 0; round += 1) {
      const failed = await this.tryAll(pending);
      if (failed.length === 0) break;
      if (round >= this.mostRounds()) {
        for (const { compensation } of failed) this.givenUp.add(compensation.id);
        break;
      }
      const first = failed.find(({ record }) => record);
      if (first?.record) await this.beforeAnotherTry(first.compensation, first.record, round);
      pending = failed.filter(({ record }) => record?.state !== 'skipped');
    }
    return above.filter(({ id }) => this.givenUp.has(id)).map(({ title }) => title);
  }

  /** Tries each whose needs are met; returns those that are left. */
  private async tryAll(pending: Pending[]): Promise<Pending[]> {
    const left: Pending[] = [];
    for (const item of pending) {
      const { compensation } = item;
      const waits = pending.some(
        (other) => compensation.needs.includes(other.compensation.id) && other.record?.state !== 'undone',
      );
      if (waits) {
        left.push(item);
        continue;
      }
      item.record ??= this.book.begin(`undo-${compensation.id}`, compensation.title, { skippable: true });
      if (!(await this.tryOne(compensation, item.record))) left.push(item);
    }
    return left;
  }

  private async tryOne({ id, undo }: Compensation, record: StepRecord): Promise<boolean> {
    record.state = 'undoing';
    this.book.show();
    try {
      record.result = (await undo()) ?? undefined;
      delete record.failure;
      this.book.end(record, 'undone');
      return true;
    } catch (error) {
      record.failure = describeFailure(error);
      this.book.end(record, 'undo-failed');
      log.error('compensation failed', { step: id, failure: record.failure });
      return false;
    }
  }

  /** Waits, ever longer, until it is tried again by itself, or a person has it tried again or gives it up. */
  private async beforeAnotherTry({ id }: Compensation, record: StepRecord, round: number): Promise<void> {
    const pauseMs = pauseBeforeAnotherTry(round);
    const blocked = { step: record.id, failure: record.failure ?? '', skippable: true, ending: true };
    const answer = await this.book.whileBlocked(blocked, (answered) =>
      condition(answered, pauseMs, {
        summary: `Undo ${id} failed: again in ${formatDurationMs(pauseMs)}, or retry, or skip`,
      }),
    );
    if (answer?.kind !== 'skip') return;
    this.givenUp.add(id);
    record.result = `given up by ${answer.by}: ${answer.reason ?? ''}`;
    this.book.end(record, 'skipped');
  }
}
