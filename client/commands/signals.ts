// The commands that send a signal: rollback, retry, skip, pause, resume, tune, recopy; and cancel. A signal has no answer of its own, so
// the status is asked for a moment afterwards whether it was taken or refused, and why.
import type { SignalDefinition } from '@temporalio/common';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  pauseSignal,
  recopySignal,
  resumeSignal,
  retrySignal,
  rollbackSignal,
  skipSignal,
  tuneSignal,
  type MigrationStatus,
  type TuneRequest,
} from '../../workflows/messages';
import { withServer, type Server } from '../connection';
import { wrongCall, type ExitCode, type Terminal } from '../context';
import { describe, notFound, queryStatus } from '../migration';
import { printJson } from '../output';
import { action, examples, type AddCommand, type Context } from './command';

/** How long to look for a refusal; one that has to ask a database first can take longer. */
const answerWithinMs = 3_000;
const pollMs = 150;

export interface Sending<Payload> {
  signal: SignalDefinition<[Payload]>;
  payload: Payload;
  /** Whether the status shows that it was taken. Without it, no refusal is enough. */
  taken?: (status: MigrationStatus, before: MigrationStatus | undefined) => boolean;
  /** What to say then. */
  said: string;
}

interface Who {
  by: string;
  reason?: string;
  json?: boolean;
}

export const addSignals: AddCommand = (program, context) => {
  program
    .command('rollback')
    .description('go back: undo everything, or after the point of no return return to the source')
    .argument('<id>', 'workflow ID of the migration')
    .requiredOption('--by <name>', 'who asks')
    .requiredOption('--reason <why>', 'kept in the report')
    .option(
      '--words <words>',
      'after the point of no return: what status says to repeat, for instance "lose 12 writes"',
    )
    .option('--json', 'print JSON')
    .addHelpText('after', examples('rollback orders-to-18 --by anna --reason "checkout is failing"'))
    .action(
      action(context, (id: string, { by, reason, words, json }: Who & { reason: string; words?: string }) =>
        send(context, id, json, {
          signal: rollbackSignal,
          payload: { by, reason, ...(words ? { words } : {}) },
          taken: ({ phase, outcome, handOvers = [] }, before) =>
            phase === 'rolling-back' ||
            outcome !== undefined ||
            handOvers.length > (before?.handOvers?.length ?? handOvers.length),
          said: 'Going back.',
        }),
      ),
    );
  program
    .command('retry')
    .description('try the blocked step again')
    .argument('<id>', 'workflow ID of the migration')
    .requiredOption('--by <name>', 'who asks')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('retry orders-to-18 --by anna'))
    .action(
      action(context, (id: string, { by, json }: Who) =>
        send(context, id, json, {
          signal: retrySignal,
          payload: { by },
          taken: unblocked,
          said: 'The step is tried again.',
        }),
      ),
    );
  program
    .command('skip')
    .description('leave out the blocked step, where it allows that')
    .argument('<id>', 'workflow ID of the migration')
    .argument('<step>', 'identity of the step, as status prints it')
    .requiredOption('--by <name>', 'who asks')
    .requiredOption('--reason <why>', 'kept in the report')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('skip orders-to-18 performance --by anna --reason "no traffic at night"'))
    .action(
      action(context, (id: string, step: string, { by, reason, json }: Who & { reason: string }) =>
        send(context, id, json, {
          signal: skipSignal,
          payload: { step, by, reason },
          taken: unblocked,
          said: `Step ${step} is skipped.`,
        }),
      ),
    );
  program
    .command('pause')
    .description('pause before the next step; a copy stops at once')
    .argument('<id>', 'workflow ID of the migration')
    .requiredOption('--by <name>', 'who asks')
    .option('--reason <why>', 'kept in the report')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('pause orders-to-18 --by anna --reason "backup window"'))
    .action(
      action(context, (id: string, { by, reason, json }: Who) =>
        send(context, id, json, {
          signal: pauseSignal,
          payload: { by, ...(reason ? { reason } : {}) },
          taken: ({ paused }) => paused !== undefined,
          said: 'Paused.',
        }),
      ),
    );
  program
    .command('resume')
    .description('go on after a pause')
    .argument('<id>', 'workflow ID of the migration')
    .requiredOption('--by <name>', 'who asks')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('resume orders-to-18 --by anna'))
    .action(
      action(context, (id: string, { by, json }: Who) =>
        send(context, id, json, {
          signal: resumeSignal,
          payload: { by },
          taken: ({ paused }) => paused === undefined,
          said: 'Resumed.',
        }),
      ),
    );
  program
    .command('tune')
    .description('change lanes and speed of the copy while it runs')
    .argument('<id>', 'workflow ID of the migration')
    .option('--lanes <count>', 'tables or parts of tables copied at the same time, 1 to 64')
    .option('--max-bytes-per-second <bytes>', '0 is without a limit')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('tune orders-to-18 --lanes 8', 'tune orders-to-18 --max-bytes-per-second 50000000'))
    .action(
      action(
        context,
        (
          id: string,
          { lanes, maxBytesPerSecond, json }: { lanes?: string; maxBytesPerSecond?: string; json?: boolean },
        ) => {
          if (lanes === undefined && maxBytesPerSecond === undefined)
            throw wrongCall('Give --lanes, --max-bytes-per-second, or both.');
          const payload: TuneRequest = {
            ...(lanes === undefined ? {} : { copyLanes: wholeNumber('--lanes', lanes, 1) }),
            ...(maxBytesPerSecond === undefined
              ? {}
              : { maxBytesPerSecond: wholeNumber('--max-bytes-per-second', maxBytesPerSecond, 0) }),
          };
          return send(context, id, json, { signal: tuneSignal, payload, said: 'Tuned.' });
        },
      ),
    );
  program
    .command('recopy')
    .description('CDC, while validate-moving is blocked: copy one table again, while the others stream on')
    .argument('<id>', 'workflow ID of the migration')
    .argument('<table>', 'schema.table, unquoted')
    .requiredOption('--by <name>', 'who asks')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('recopy orders-to-18 public.orders --by anna'))
    .action(
      action(context, (id: string, table: string, { by, json }: Who) =>
        send(context, id, json, {
          signal: recopySignal,
          payload: { table, by },
          taken: unblocked,
          said: `${table} is copied again.`,
        }),
      ),
    );
};

function unblocked({ blocked }: MigrationStatus): boolean {
  return blocked === undefined;
}

function wholeNumber(name: string, text: string, least: number): number {
  if (/^\d+$/.test(text) && Number(text) >= least) return Number(text);
  throw wrongCall(`${name} is "${text}", expected a whole number from ${least}.`);
}

/** Sends it to a migration that runs, and says whether it was taken or refused, and why. */
export async function send<Payload>(
  { terminal }: Context,
  id: string,
  json: boolean | undefined,
  sending: Sending<Payload>,
): Promise<ExitCode> {
  return withServer(terminal, async (server) => {
    await mustRun(server, id);
    const before = (await queryStatus(server, id)).status;
    try {
      await server.client.workflow.getHandle(id).signal(sending.signal, sending.payload);
    } catch (error) {
      throw notFound(error, id);
    }
    const seen = await outcomeOf(server, id, sending, before);
    return report(terminal, id, json, sending.said, seen);
  });
}

async function mustRun(server: Server, id: string): Promise<void> {
  const { workflowStatus } = await describe(server, id);
  if (workflowStatus !== 'RUNNING')
    throw wrongCall(`Migration "${id}" has ended (${workflowStatus.toLowerCase()}); nothing was sent.`);
}

type Seen = { kind: 'taken' } | { kind: 'refused'; why: string } | { kind: 'unknown'; why: string };

async function outcomeOf<Payload>(
  server: Server,
  id: string,
  { signal, taken }: Sending<Payload>,
  before: MigrationStatus | undefined,
): Promise<Seen> {
  const known = new Set((before?.refused ?? []).map((refused) => JSON.stringify(refused)));
  const deadline = Date.now() + answerWithinMs;
  let unanswered = 'It was sent, and nothing shows yet whether it was taken';
  while (Date.now() < deadline) {
    const { status, why } = await queryStatus(server, id);
    if (!status) return { kind: 'unknown', why: `It was sent. ${why} It is acted upon then` };
    const refused = status.refused.find(
      (message) => message.name === signal.name && !known.has(JSON.stringify(message)),
    );
    if (refused) return { kind: 'refused', why: refused.why };
    // A query is answered after every signal that came before it: without a sign of refusal it was taken.
    if (taken?.(status, before) ?? true) return { kind: 'taken' };
    unanswered = `It was sent; phase ${status.phase}, and it does not show yet`;
    await sleep(pollMs);
  }
  return { kind: 'unknown', why: unanswered };
}

function report(terminal: Terminal, id: string, json: boolean | undefined, said: string, seen: Seen): ExitCode {
  if (json) printJson(terminal, { id, ...seen });
  else if (seen.kind === 'taken') terminal.out(`${said} "cutover watch ${id}" shows it.\n`);
  else if (seen.kind === 'refused') terminal.error(`Refused: ${seen.why}\n`);
  else terminal.error(`${seen.why}: see "cutover status ${id}".\n`);
  return seen.kind === 'refused' ? 2 : 0;
}

export const addCancel: AddCommand = (program, context) => {
  const { terminal } = context;
  program
    .command('cancel')
    .description(
      'cancel a migration: before the switch it rolls back, after it the target stays in use; then it ends as Canceled',
    )
    .argument('<id>', 'workflow ID of the migration')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('cancel orders-to-18'))
    .action(
      action(context, (id: string, { json }: { json?: boolean }) =>
        withServer(terminal, async (server) => {
          await mustRun(server, id);
          await server.client.workflow.getHandle(id).cancel();
          if (json) printJson(terminal, { id, requested: true });
          else
            terminal.out(
              `Cancellation is requested: before the switch everything is undone, after it the target stays in use; then the workflow ends. "cutover watch ${id}" shows it.\n`,
            );
          return 0;
        }),
      ),
    );
};
