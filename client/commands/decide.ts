// `cutover approve` and `cutover reject`: by update, so that a refused decision is an error at once.
import { WorkflowUpdateFailedError } from '@temporalio/client';
import { rootCause } from '@temporalio/common';
import { decideUpdate, type DecideRequest, type MigrationStatus } from '../../workflows/messages';
import { firstLine, noWorker, withServer, workerIsUp, type Server } from '../connection';
import { CommandFailed, wrongCall } from '../context';
import { describe, queryStatus } from '../migration';
import { colorsOf, printJson, printLines } from '../output';
import { gateLines } from '../status-view';
import { action, examples, type AddCommand } from './command';

const answerTimeoutMs = 15_000;

export const addDecide: AddCommand = (program, context) => {
  const { terminal } = context;
  for (const decision of ['approve', 'reject'] as const) {
    program
      .command(decision)
      .description(`${decision} the open gate of a migration`)
      .argument('<id>', 'workflow ID of the migration')
      .argument('<gate>', 'name of the gate, for instance cutover')
      .requiredOption('--by <name>', 'who decides')
      .option('--reason <why>', 'kept in the report')
      .option('--json', 'print the resulting status as JSON')
      .addHelpText(
        'after',
        examples(
          `${decision} orders-to-18 cutover --by anna --reason "${decision === 'approve' ? 'checks are green' : 'month-end run'}"`,
        ),
      )
      .action(
        action(
          context,
          (id: string, gate: string, { by, reason, json }: { by: string; reason?: string; json?: boolean }) =>
            withServer(terminal, async (server) => {
              const status = await decide(server, id, { gate, decision, by, ...(reason ? { reason } : {}) });
              if (json) printJson(terminal, status);
              else
                printLines(terminal, [
                  answer(status, gate, decision),
                  ...gateLines(status, { colors: colorsOf(terminal) }),
                ]);
              return 0;
            }),
        ),
      );
  }
};

async function decide(server: Server, id: string, request: DecideRequest): Promise<MigrationStatus> {
  const { workflowStatus } = await describe(server, id);
  if (workflowStatus !== 'RUNNING')
    throw wrongCall(`Migration "${id}" has ended (${workflowStatus.toLowerCase()}); no gate is open.`);
  if ((await workerIsUp(server)) === false) throw new CommandFailed(`${noWorker} Nothing was decided.`, 1);
  try {
    return await server.connection.withDeadline(Date.now() + answerTimeoutMs, () =>
      server.client.workflow.getHandle(id).executeUpdate(decideUpdate, { args: [request] }),
    );
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError)
      throw wrongCall(`Refused: ${rootCause(error.cause) ?? error.message}`);
    // The answer may be lost on its way, for instance because the decision has ended the migration meanwhile: the journal knows.
    const { status } = await queryStatus(server, id);
    if (status && wasTaken(status, request)) return status;
    throw new CommandFailed(`Whether it was taken is not known: ${firstLine(error)}. See "cutover status ${id}".`, 1);
  }
}

function wasTaken({ gates }: MigrationStatus, { gate, decision, by }: DecideRequest): boolean {
  const decisions = gates.findLast(({ name }) => name === gate)?.decisions ?? [];
  return decisions.some((one) => one.by === by && one.decision === decision);
}

function answer(status: MigrationStatus, name: string, decision: 'approve' | 'reject'): string {
  const gate = status.gates.findLast((candidate) => candidate.name === name);
  const given = gate?.decisions.filter((one) => one.decision === 'approve').length ?? 0;
  const done = decision === 'approve' ? 'Approved' : 'Rejected';
  if (gate?.state === 'open') return `${done}: gate ${name} has ${given} of ${gate.approversNeeded} approvals.`;
  return `${done}: gate ${name} is closed (${gate?.state ?? 'unknown'}).`;
}
