// The journal while it is written: every change of it is shown at once, in details and search attributes. What is blocked
// is answered here as well, since the answer of a person is noted like everything else.
import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { ApplicationFailure, defineSearchAttributeKey } from '@temporalio/common';
import type { GateRecord, Journal, StepRecord } from '../journal/types';
import { renderDetails } from './board';

const phaseKey = defineSearchAttributeKey('MigrationPhase', 'KEYWORD');
const kindKey = defineSearchAttributeKey('MigrationKind', 'KEYWORD');
const gateKey = defineSearchAttributeKey('MigrationGate', 'KEYWORD');

/** What a person said to something blocked. */
export interface Answer {
  kind: 'retry' | 'skip';
  by: string;
  reason?: string;
}

export class Logbook {
  private answer?: Answer;
  /** Another hand-over leads back: its steps are told as those of going back. */
  goingBack = false;

  constructor(readonly journal: Journal) {}

  now(): Date {
    return new Date(Date.now());
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

  begin(id: string, title: string, options: { skippable?: boolean; downtime?: boolean }): StepRecord {
    const record: StepRecord = {
      id,
      title,
      phase: this.journal.phase,
      state: 'running',
      startedAt: this.now().toISOString(),
      retries: 0,
      skippable: options.skippable ?? false,
      ...(options.downtime ? { downtime: true } : {}),
      ...(this.goingBack ? { goingBack: true } : {}),
    };
    this.journal.steps.push(record);
    this.show();
    return record;
  }

  end(record: StepRecord, state: StepRecord['state']): void {
    const now = this.now();
    record.state = state;
    record.endedAt = now.toISOString();
    record.durationMs = now.getTime() - Date.parse(record.startedAt);
    this.show();
  }

  openGate(): GateRecord | undefined {
    return this.journal.gates.find(({ state }) => state === 'open');
  }

  /** Notes a gate, and tells those who look for it while it is open. */
  noteGate(gate: GateRecord): void {
    this.journal.gates.push(gate);
    if (gate.state === 'open') upsertSearchAttributes([{ key: gateKey, value: gate.name }]);
    this.show();
  }

  /** No gate is open any more. */
  noGate(): void {
    upsertSearchAttributes([{ key: gateKey, value: 'none' }]);
    this.show();
  }

  /** Shows what is blocked while `wait` lasts; gives what a person answered meanwhile, undefined when nobody did. */
  async whileBlocked(
    blocked: NonNullable<Journal['blocked']>,
    wait: (answered: () => boolean) => Promise<unknown>,
  ): Promise<Answer | undefined> {
    this.answer = undefined;
    this.journal.blocked = blocked;
    this.show();
    try {
      await wait(() => this.answer !== undefined);
      return this.answer;
    } finally {
      this.answer = undefined;
      delete this.journal.blocked;
      this.show();
    }
  }

  /** Retry or skip of what is blocked; the caller has checked that it applies. */
  answerBlocked(kind: Answer['kind'], by: string, reason?: string): void {
    this.answer = { kind, by, reason };
  }
}

/** The type of what really failed: `TargetUnavailable`; undefined for what no activity threw by design. */
export function typeOfFailure(error: unknown): string | undefined {
  const thrown = innermost(error);
  return thrown instanceof ApplicationFailure ? (thrown.type ?? undefined) : undefined;
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
