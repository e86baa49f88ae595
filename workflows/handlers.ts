// Signals, queries and the update of every migration, registered before anything else happens. Each handler is synchronous:
// it checks, changes the runbook's state, and shows what it refused and why.
import { setDefaultSignalHandler, setHandler, log } from '@temporalio/workflow';
import { gateNames } from '../plan/gates';
import { renderReport } from '../journal/markdown';
import type { Journal } from '../journal/types';
import { decide, refusal } from './gate';
import { addLesson, placeHold, releaseHold } from './holds';
import {
  approveSignal,
  decideUpdate,
  examples,
  holdSignal,
  journalQuery,
  noteSignal,
  parseMessage,
  pauseSignal,
  rejectSignal,
  recopySignal,
  releaseSignal,
  reportQuery,
  resumeSignal,
  retrySignal,
  rollbackSignal,
  skipSignal,
  statusQuery,
  tuneSignal,
  type DecideRequest,
  type MessageName,
  type MigrationStatus,
  type RecopyRequest,
  type RollbackRequest,
  type TuneRequest,
} from './messages';
import type { Runbook } from './runbook';

/** More than these are not kept: the journal must stay small whatever is sent. */
const mostRefused = 50;

export interface Listener {
  /** A rollback after the point of no return: answered by the way back, which may take an activity. */
  rollbackAfterNoReturn(request: RollbackRequest): void;
  /** Returns why it makes no sense now, or undefined when taken. */
  tune(request: TuneRequest): string | undefined;
  /** As `tune`; only migrations that stream take it. */
  recopy?(request: RecopyRequest): string | undefined;
}

/** Notes a message that changed nothing. */
export function refuse(journal: Journal, name: string, why: string, by?: unknown): void {
  log.warn('message refused', { name, why });
  journal.refused.push({
    name: name.slice(0, 60),
    at: new Date(Date.now()).toISOString(),
    why,
    ...(typeof by === 'string' ? { by: by.slice(0, 60) } : {}),
  });
  if (journal.refused.length > mostRefused) journal.refused.shift();
}

export function listen(runbook: Runbook, listener: Listener): void {
  const { journal } = runbook;

  const take = <Name extends MessageName>(
    name: Name,
    handle: (payload: PayloadOf<Name>) => string | undefined,
  ): ((raw: unknown) => void) => {
    return (raw) => {
      const parsed = parseMessage(name, raw);
      const why = parsed.ok ? handle(parsed.payload) : parsed.why;
      if (why) refuse(journal, name, why, (raw as { by?: unknown } | null)?.by);
      runbook.show();
    };
  };

  const decideOn = (request: DecideRequest): string | undefined => {
    const why = refusal(journal.gates, request, gateNames);
    const gate = runbook.openGate();
    if (why || !gate) return why;
    decide(gate, request, runbook.now());
    return undefined;
  };

  setHandler(
    approveSignal,
    take('approve', (payload) => decideOn({ ...payload, decision: 'approve' })),
    {
      description: `Approve the open gate. Example: ${examples.approve}`,
    },
  );
  setHandler(
    rejectSignal,
    take('reject', (payload) => decideOn({ ...payload, decision: 'reject' })),
    {
      description: `Reject the open gate. Example: ${examples.reject}`,
    },
  );
  setHandler(
    rollbackSignal,
    take('rollback', (payload) => {
      if (journal.outcome) return `the migration has ended (${journal.outcome})`;
      if (journal.sourceRetired)
        return 'the source is being retired, so there may be nothing to go back to; skip the step, if it is blocked';
      if (runbook.ending) return 'the migration is going back or ending already';
      if (runbook.pastNoReturn) listener.rollbackAfterNoReturn(payload);
      else runbook.interrupt('rollback', `rollback asked for by ${payload.by}: ${payload.reason}`);
      return undefined;
    }),
    {
      description: `Go back. After the point of no return status says what would be lost and which words to add. Example: ${examples.rollback}`,
    },
  );
  setHandler(
    retrySignal,
    take('retry', ({ by }) => answer('retry', by)),
    { description: `Try the blocked step again. Example: ${examples.retry}` },
  );
  setHandler(
    skipSignal,
    take('skip', ({ step, by, reason }) => {
      if (journal.blocked && journal.blocked.step !== step)
        return `the blocked step is "${journal.blocked.step}", not "${step}"`;
      if (journal.blocked && !journal.blocked.skippable) return `step "${step}" cannot be skipped: retry or rollback`;
      return answer('skip', by, reason);
    }),
    { description: `Leave out the blocked step, where it allows that. Example: ${examples.skip}` },
  );
  setHandler(
    pauseSignal,
    take('pause', ({ by, reason }) => {
      if (journal.paused) return `paused already, by ${journal.paused.by}`;
      if (runbook.rollingBack || runbook.ending) return 'a rollback or an end cannot be paused';
      runbook.pause(by, reason);
      return undefined;
    }),
    {
      description: `Pause before the next step; a copy stops at once. A write freeze goes on, and so does its deadline. Example: ${examples.pause}`,
    },
  );
  setHandler(
    resumeSignal,
    take('resume', () => {
      if (!journal.paused) return 'nothing is paused';
      runbook.resume();
      return undefined;
    }),
    { description: `Go on after a pause. Example: ${examples.resume}` },
  );
  setHandler(
    tuneSignal,
    take('tune', (payload) => listener.tune(payload)),
    {
      description: `Change lanes and speed of the copy while it runs; 0 bytes per second is without a limit. Example: ${examples.tune}`,
    },
  );
  setHandler(
    recopySignal,
    take('recopy', (payload) =>
      listener.recopy ? listener.recopy(payload) : 'only a migration by CDC copies a single table again',
    ),
    {
      description: `CDC, while validate-moving is blocked: copy one table again, by itself. Example: ${examples.recopy}`,
    },
  );
  setHandler(
    holdSignal,
    take('hold', (payload) => placeHold(journal, payload, runbook.now())),
    { description: `Keep the source from being retired until you release it. Example: ${examples.hold}` },
  );
  setHandler(
    releaseSignal,
    take('release', (payload) => releaseHold(journal, payload, runbook.now())),
    { description: `Release what you hold. Example: ${examples.release}` },
  );
  setHandler(
    noteSignal,
    take('note', (payload) => addLesson(journal, payload, runbook.now())),
    { description: `Note what those after you should know; the report prints it. Example: ${examples.note}` },
  );
  setHandler(
    decideUpdate,
    (request) => {
      decideOn(request);
      runbook.show();
      return status(journal);
    },
    {
      description:
        'Approve or reject the open gate, with an answer. Example: {"gate": "cutover", "decision": "approve", "by": "anna"}',
      validator: (request) => {
        const { decision, ...rest } = request as unknown as { decision?: unknown };
        if (decision !== 'approve' && decision !== 'reject') {
          throw new Error(`decision is ${JSON.stringify(decision)}, expected "approve" or "reject"`);
        }
        const parsed = parseMessage(decision, rest);
        const why = parsed.ok ? refusal(journal.gates, { ...parsed.payload, decision }, gateNames) : parsed.why;
        if (why) throw new Error(why);
      },
    },
  );
  setHandler(statusQuery, () => status(journal), { description: 'Where the migration is, as JSON. No input.' });
  setHandler(reportQuery, () => renderReport(journal), { description: 'The report so far, as Markdown. No input.' });
  setHandler(journalQuery, () => journal, { description: 'Everything noted so far, as JSON. No input.' });
  setDefaultSignalHandler((name, ...args) => {
    refuse(
      journal,
      name,
      `there is no signal "${name.slice(0, 60)}"; signals are ${Object.keys(examples).join(', ')}`,
      (args[0] as { by?: unknown } | undefined)?.by,
    );
    runbook.show();
  });

  function answer(kind: 'retry' | 'skip', by: string, reason?: string): string | undefined {
    if (!journal.blocked) return 'no step is blocked';
    runbook.answerBlocked(kind, by, reason);
    return undefined;
  }
}

type PayloadOf<Name extends MessageName> = Extract<ReturnType<typeof parseMessage<Name>>, { ok: true }>['payload'];

function status(journal: Journal): MigrationStatus {
  const { migration, kind, phase, outcome, startedAt, endedAt, reason, blocked, paused, pointOfNoReturnAt } = journal;
  const {
    steps,
    gates,
    refused,
    copy,
    replication,
    handOvers,
    accounting,
    imports,
    validation,
    downtime,
    loss,
    rehearsal,
    prediction,
    holds,
    lessons,
    looks,
  } = journal;
  const { passes, passesNotListed, forecast } = journal;
  return {
    migration,
    kind,
    phase,
    outcome,
    startedAt,
    endedAt,
    reason,
    gate: gates.find(({ state }) => state === 'open')?.name ?? 'none',
    blocked,
    paused,
    pointOfNoReturnAt,
    steps,
    gates,
    refused,
    checks: journal.preflight,
    copy,
    replication,
    handOvers,
    reconciliation: journal.reconciliation,
    passes,
    passesNotListed,
    forecast,
    accounting,
    imports,
    validation,
    // Counts alone: keys of rows are for the report.
    ...(journal.transformations ? { rejects: journal.transformations.tables } : {}),
    downtime,
    rehearsal,
    prediction,
    loss,
    holds,
    lessons,
    looks,
    reportUrl: journal.artifacts.find(({ name }) => name === 'report.html')?.url,
  };
}
