// `cutover status ID` and `cutover list`.
import { defineSearchAttributeKey } from '@temporalio/common';
import { formatTime } from '../../journal/quantities';
import { migrationTypes, searchAttributeNames } from '../../workflows/messages';
import { withServer } from '../connection';
import { describe, queryStatus, type ServerView } from '../migration';
import { alignedRows, colorsOf, printJson, printLines } from '../output';
import { statusLines } from '../status-view';
import { action, examples, type AddCommand } from './command';

export const addStatus: AddCommand = (program, context) => {
  const { terminal } = context;
  program
    .command('status')
    .description('where a migration is: phase, open gate, progress, steps')
    .argument('<id>', 'workflow ID of the migration')
    .option('--json', 'the status as the workflow tells it')
    .addHelpText('after', examples('status orders-to-18', 'status orders-to-18 --json'))
    .action(
      action(context, (id: string, { json }: { json?: boolean }) =>
        withServer(terminal, async (server) => {
          const view = await describe(server, id);
          const { status, why } = await queryStatus(server, id);
          if (!status) {
            terminal.error(`${why} Below is only what the Temporal server itself knows.\n`);
            if (json) printJson(terminal, view);
            else printLines(terminal, serverLines(view));
            return 0;
          }
          if (json) printJson(terminal, status);
          else
            printLines(
              terminal,
              statusLines(status, view.activities, {
                colors: colorsOf(terminal),
                columns: 400,
                nowMs: Date.now(),
                steps: 200,
              }),
            );
          return 0;
        }),
      ),
    );
};

/** What search attributes and the server's own record tell. */
export function serverLines({
  id,
  workflowStatus,
  kind,
  phase,
  gate,
  startedAt,
  endedAt,
  activities,
}: ServerView): string[] {
  return [
    `${id}  ${workflowStatus.toLowerCase()}`,
    `  kind ${kind ?? 'unknown'}, phase ${phase ?? 'unknown'}, gate ${gate ?? 'unknown'}`,
    `  started ${formatTime(startedAt)}${endedAt ? `, ended ${formatTime(endedAt)}` : ''}`,
    ...activities.map(
      ({ type, attempt, lastFailure }) =>
        `  activity ${type}, attempt ${attempt}${lastFailure ? `: ${lastFailure}` : ''}`,
    ),
  ];
}

export const addList: AddCommand = (program, context) => {
  const { terminal } = context;
  program
    .command('list')
    .description('all migrations, newest first')
    .option('--limit <count>', 'how many at most', '50')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('list', 'list --json'))
    .action(
      action(context, ({ limit, json }: { limit: string; json?: boolean }) =>
        withServer(terminal, async ({ client }) => {
          const types = migrationTypes.map((type) => `'${type}'`).join(', ');
          const found = [];
          for await (const execution of client.workflow.list({ query: `WorkflowType IN (${types})` })) {
            const [kind, phase, gate] = searchAttributeNames.map((name) =>
              execution.typedSearchAttributes.get(defineSearchAttributeKey(name, 'KEYWORD')),
            );
            found.push({
              id: execution.workflowId,
              type: execution.type,
              kind,
              phase,
              gate,
              workflowStatus: execution.status.name,
              startedAt: execution.startTime.toISOString(),
              endedAt: execution.closeTime?.toISOString(),
            });
            if (found.length >= (Number.parseInt(limit, 10) || 50)) break;
          }
          if (json) printJson(terminal, found);
          else if (found.length === 0)
            terminal.error('There are no migrations. Start one with "cutover start FILE".\n');
          else {
            const rows = found.map((row) => [
              row.id,
              row.kind ?? '–',
              row.phase ?? '–',
              row.gate ?? '–',
              row.workflowStatus.toLowerCase(),
              formatTime(row.startedAt),
            ]);
            const colors = colorsOf(terminal);
            printLines(
              terminal,
              alignedRows([['ID', 'KIND', 'PHASE', 'GATE', 'WORKFLOW', 'STARTED'], ...rows], (cell, _column, row) =>
                row === 0 ? colors.bold(cell) : cell,
              ),
            );
          }
          return 0;
        }),
      ),
    );
};
