// Our side of the benchmark: one migration by CDC, through Temporal and a worker of its own process, driven as a person would drive it.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import type { HandOverRecord, Journal } from '../../journal/types';
import type { PostgresPlanInput } from '../../plan/postgres';
import type { postgresMigration } from '../../workflows';
import {
  approveSignal,
  journalQuery,
  pauseSignal,
  rejectSignal,
  rollbackSignal,
  taskQueue,
} from '../../workflows/messages';

const by = 'bench';
/** For any one phase: more than the largest default size needs. */
const patienceMs = 900_000;
const pollMs = 250;

export interface HandOverTimes extends HandOverRecord {
  steps: { name: string; ms: number }[];
}

export class BenchMigration {
  private constructor(
    private readonly handle: WorkflowHandleWithFirstExecutionRunId<typeof postgresMigration>,
    private readonly say: (line: string) => void,
  ) {}

  /** Started, preflight passed, gate `start` approved. */
  static async start(client: Client, plan: PostgresPlanInput, say: (line: string) => void): Promise<BenchMigration> {
    const handle = await client.workflow.start<typeof postgresMigration>('postgresMigration', {
      taskQueue,
      workflowId: `${plan.name}-${Date.now()}`,
      args: [plan],
    });
    const migration = new BenchMigration(handle, say);
    await migration.approve('start');
    return migration;
  }

  /** Waits for the gate, then approves it. */
  async approve(gate: string): Promise<void> {
    await this.until(`gate ${gate}`, (journal) => isOpen(journal, gate));
    await this.handle.signal(approveSignal, { gate, by });
  }

  /** Waits until it streams, and has it go no further. @returns seconds from the approval of `start`, and those of each phase */
  async untilInSync(): Promise<{ seconds: number; parts: Record<string, number> }> {
    await this.until('the catch-up', ({ steps }) => steps.some(({ id }) => id === 'catch-up'));
    // Held before the step after the catch-up: foreign keys and the comparison of rows would work against the stream that is measured.
    await this.handle.signal(pauseSignal, { by, reason: 'the benchmark measures the stream' });
    const { gates, steps } = await this.until('the end of the catch-up', caughtUp);
    let last = Date.parse(gates.find(({ name }) => name === 'start')?.closedAt ?? '');
    const approvedAt = last;
    const parts: Record<string, number> = {};
    for (const { id, phase, endedAt } of steps) {
      const end = Date.parse(endedAt ?? '');
      if (!(end > last)) continue;
      const part = id === 'indexes' ? id : phase;
      parts[part] = (parts[part] ?? 0) + (end - last) / 1_000;
      last = end;
      if (id === 'catch-up') break;
    }
    return { seconds: (last - approvedAt) / 1_000, parts };
  }

  /** The pause holds: no step runs any more. */
  async untilHeld(): Promise<void> {
    await this.until('the pause', ({ paused, steps }) => !!paused && steps.every(({ state }) => state !== 'running'));
  }

  async untilCutover(): Promise<void> {
    await this.until('gate cutover', (journal) => isOpen(journal, 'cutover'));
  }

  /**
   * Waits for the gate and switches; back when `backwards`.
   * @param switched asked while it happens, in place of the workflow, whose time is being measured
   * @returns how many tries were given up by the deadline before it worked
   */
  async handOver(backwards: boolean, switched: () => Promise<boolean>): Promise<number> {
    let givenUp = 0;
    for (;;) {
      const before = (await this.journal()).handOvers?.length ?? 0;
      if (backwards) await this.handle.signal(rollbackSignal, { by, reason: 'the other way' });
      else await this.approve('cutover');
      const outcome = await this.seeSwitch(before, switched);
      if (outcome === 'switched') return givenUp;
      givenUp += 1;
      this.say(`  a hand-over was given up: ${outcome}`);
      if (givenUp === 3) throw new Error(`three hand-overs were given up, the last one: ${outcome}`);
    }
  }

  /** Waits until the next hand-over may be asked for: forward the target is watched, back gate cutover is open again. */
  async untilSettled(backwards: boolean): Promise<void> {
    if (backwards) return this.untilCutover();
    await this.until('the watch of the target', ({ phase }) => phase === 'monitor');
  }

  async rollBack(): Promise<void> {
    await this.handle.signal(rollbackSignal, { by, reason: 'measured' });
    await this.expect('rolled-back');
  }

  /** At the open gate after a way back. */
  async reject(): Promise<void> {
    await this.handle.signal(rejectSignal, { gate: 'cutover', by, reason: 'measured' });
    await this.expect('rolled-back');
  }

  /** Those that reached the other side, each with its steps under the freeze, which come one after the other. */
  async handOvers(): Promise<HandOverTimes[]> {
    const { handOvers = [], steps } = await this.journal();
    const frozen = steps.filter(({ downtime, state }) => downtime === true && state === 'done');
    return handOvers.flatMap((record, index) => {
      if (record.outcome !== 'switched') return [];
      const next = handOvers[index + 1]?.startedAt ?? '9';
      const own = frozen.filter(({ startedAt }) => startedAt >= record.startedAt && startedAt < next);
      return [{ ...record, steps: own.map(({ id, durationMs = 0 }) => ({ name: id, ms: durationMs })) }];
    });
  }

  private async seeSwitch(before: number, switched: () => Promise<boolean>): Promise<string> {
    const from = performance.now();
    for (;;) {
      const untilLook = performance.now() + 3_000;
      while (performance.now() < untilLook) {
        if (await switched()) return 'switched';
        await sleep(20);
      }
      const journal = await this.journal();
      requireGoing(journal);
      const latest = (journal.handOvers ?? [])[before];
      if (latest?.outcome === 'given-up') return journal.notes.at(-1)?.text ?? 'no reason told';
      if (performance.now() - from > patienceMs) throw new Error(`no switch; it is in phase ${journal.phase}`);
    }
  }

  private async expect(outcome: string): Promise<void> {
    const result = await this.handle.result();
    if (result.outcome !== outcome) throw new Error(`it ended as ${result.outcome}, expected ${outcome}`);
  }

  private journal(): Promise<Journal> {
    return this.handle.query(journalQuery);
  }

  private async until(what: string, isSo: (journal: Journal) => boolean): Promise<Journal> {
    const from = performance.now();
    for (;;) {
      const journal = await this.journal();
      if (isSo(journal)) return journal;
      requireGoing(journal);
      if (performance.now() - from > patienceMs)
        throw new Error(`waited for ${what} in vain; it is in phase ${journal.phase}`);
      await sleep(pollMs);
    }
  }
}

function isOpen({ gates }: Journal, gate: string): boolean {
  return gates.some(({ name, state }) => name === gate && state === 'open');
}

function caughtUp({ steps }: Journal): boolean {
  return steps.some(({ id, state }) => id === 'catch-up' && state === 'done');
}

function requireGoing({ blocked, outcome, reason, phase }: Journal): void {
  if (blocked) throw new Error(`blocked at ${blocked.step}: ${blocked.failure}`);
  if (outcome) throw new Error(`it ended as ${outcome} in phase ${phase}: ${reason ?? 'no reason told'}`);
}
