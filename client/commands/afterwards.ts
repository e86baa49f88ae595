// The commands for the weeks after the switch: hold, release, note.
import { holdSignal, noteSignal, releaseSignal } from '../../workflows/messages';
import { action, examples, type AddCommand } from './command';
import { send } from './signals';

export const addAfterwards: AddCommand = (program, context) => {
  program
    .command('hold')
    .description('keep the source from being retired, until you release it')
    .argument('<id>', 'workflow ID of the migration')
    .requiredOption('--by <name>', 'who holds it')
    .requiredOption('--reason <why>', 'kept in the report')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('hold orders-to-18 --by anna --reason "incident 4711: invoices are wrong"'))
    .action(
      action(context, (id: string, { by, reason, json }: { by: string; reason: string; json?: boolean }) =>
        send(context, id, json, {
          signal: holdSignal,
          payload: { by, reason },
          taken: ({ holds = [] }) => holds.some((hold) => hold.by === by && hold.releasedAt === undefined),
          said: 'Held: the source is not retired before you release it.',
        }),
      ),
    );
  program
    .command('release')
    .description('release what you hold')
    .argument('<id>', 'workflow ID of the migration')
    .requiredOption('--by <name>', 'who held it')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('release orders-to-18 --by anna'))
    .action(
      action(context, (id: string, { by, json }: { by: string; json?: boolean }) =>
        send(context, id, json, {
          signal: releaseSignal,
          payload: { by },
          taken: ({ holds = [] }) => !holds.some((hold) => hold.by === by && hold.releasedAt === undefined),
          said: 'Released.',
        }),
      ),
    );
  program
    .command('note')
    .description('note what those after you should know: the report prints it under lessons learned')
    .argument('<id>', 'workflow ID of the migration')
    .argument('<text>', 'at most 1000 characters')
    .requiredOption('--by <name>', 'who says so')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('note orders-to-18 --by anna "build the index on events before the next one"'))
    .action(
      action(context, (id: string, text: string, { by, json }: { by: string; json?: boolean }) =>
        send(context, id, json, {
          signal: noteSignal,
          payload: { by, text },
          taken: ({ lessons = [] }, before) => lessons.length > (before?.lessons?.length ?? 0),
          said: 'Noted.',
        }),
      ),
    );
};
