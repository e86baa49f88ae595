// `cutover start FILE`: validates the plan here, then starts the workflow that the server keeps.
import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { describeReference } from '../../plan/reference';
import type { PostgresPlan } from '../../plan/postgres';
import { registerSearchAttributes } from '../../worker/search-attributes';
import { taskQueue } from '../../workflows/messages';
import { noWorker, withServer, workerIsUp } from '../connection';
import { wrongCall } from '../context';
import { printJson, printLines } from '../output';
import { readPlan } from '../plan-file';
import { action, examples, type AddCommand } from './command';

export const addStart: AddCommand = (program, context) => {
  const { terminal } = context;
  program
    .command('start')
    .description('validate a plan and start its migration')
    .argument('<file>', 'plan in JSON or YAML')
    .option('--id <id>', 'workflow ID; the name of the plan by default')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('start orders.json', 'start orders.yaml --id orders-to-18-second-try'))
    .action(
      action(context, async (file: string, options: { id?: string; json?: boolean }) => {
        const { input, plan } = readPlan(file);
        const id = options.id ?? plan.name;
        return withServer(terminal, async (server) => {
          await registerSearchAttributes(server.connection, server.namespace);
          const runId = await startPostgres(server.client, id, input, plan);
          const worker = await workerIsUp(server);
          if (options.json)
            printJson(terminal, {
              id,
              runId,
              namespace: server.namespace,
              address: server.address,
              taskQueue,
              workerIsUp: worker,
            });
          else {
            printLines(terminal, [
              `Migration ${id} is started (run ${runId}, ${server.address}, namespace ${server.namespace}).`,
              `  cutover watch ${id}`,
              `  cutover status ${id}`,
            ]);
          }
          if (worker === false) terminal.error(`${noWorker} Until then the migration waits.\n`);
          return 0;
        });
      }),
    );
};

async function startPostgres(client: Client, id: string, input: unknown, plan: PostgresPlan): Promise<string> {
  const key = (name: string): ReturnType<typeof defineSearchAttributeKey<'KEYWORD'>> =>
    defineSearchAttributeKey(name, 'KEYWORD');
  try {
    const handle = await client.workflow.start('postgresMigration', {
      workflowId: id,
      taskQueue,
      args: [input],
      workflowIdConflictPolicy: 'FAIL',
      // An ended migration keeps its ID for its report; only one that failed outright may be begun again under it.
      workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
      staticSummary:
        `${plan.name}: ${describeReference(plan.source)} to ${describeReference(plan.target)}, ${plan.strategy}`.slice(
          0,
          190,
        ),
      staticDetails: details(id, plan),
      typedSearchAttributes: [
        { key: key('MigrationKind'), value: 'postgres' },
        { key: key('MigrationPhase'), value: 'new' },
        { key: key('MigrationGate'), value: 'none' },
      ],
    });
    return handle.firstExecutionRunId;
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    throw wrongCall(await whyTaken(client, id));
  }
}

async function whyTaken(client: Client, id: string): Promise<string> {
  const { status } = await client.workflow.getHandle(id).describe();
  if (status.name === 'RUNNING')
    return `A migration "${id}" is running already. See it with "cutover watch ${id}"; nothing was started.`;
  return `A migration "${id}" has ended (${status.name.toLowerCase()}), and its report is kept under that ID. Start the new one with --id, for instance --id ${id}-2.`;
}

function details(id: string, plan: PostgresPlan): string {
  return [
    `Carries **${plan.name}** from \`${describeReference(plan.source)}\` to \`${describeReference(plan.target)}\` by ${plan.strategy}.`,
    `- Watch: \`cutover watch ${id}\``,
    `- Decide at a gate: \`cutover approve ${id} GATE --by NAME\`, or the signals \`approve\` and \`reject\``,
    `- Go back: \`cutover rollback ${id} --by NAME --reason WHY\``,
    `- Writes are stopped for at most ${plan.maxDowntime}; watched for ${plan.monitor}; the source is kept for ${plan.retainSource}`,
  ].join('\n');
}
