// `cutover start FILE`: validates the plan here, then starts the workflow that the server keeps.
import { WorkflowExecutionAlreadyStartedError, type Client } from '@temporalio/client';
import { defineSearchAttributeKey } from '@temporalio/common';
import { describeSource, describeTarget } from '../../plan/calico';
import { describeReference } from '../../plan/reference';
import { registerSearchAttributes } from '../../worker/search-attributes';
import { taskQueue, type MigrationType } from '../../workflows/messages';
import { noWorker, withServer, workerIsUp } from '../connection';
import { wrongCall } from '../context';
import { printJson, printLines } from '../output';
import { readPlan, type ReadPlan } from '../plan-file';
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
        const read = readPlan(file);
        const id = options.id ?? read.plan.name;
        return withServer(terminal, async (server) => {
          await registerSearchAttributes(server.connection, server.namespace);
          const runId = await startMigration(server.client, id, read);
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

const types: Record<ReadPlan['kind'], MigrationType> = { postgres: 'postgresMigration', calico: 'calicoMigration' };

async function startMigration(client: Client, id: string, read: ReadPlan): Promise<string> {
  const key = (name: string): ReturnType<typeof defineSearchAttributeKey<'KEYWORD'>> =>
    defineSearchAttributeKey(name, 'KEYWORD');
  try {
    const handle = await client.workflow.start(types[read.kind], {
      workflowId: id,
      taskQueue,
      args: [read.input],
      workflowIdConflictPolicy: 'FAIL',
      // An ended migration keeps its ID for its report; only one that failed outright may be begun again under it.
      workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
      staticSummary: summary(read).slice(0, 190),
      staticDetails: details(id, read),
      typedSearchAttributes: [
        { key: key('MigrationKind'), value: read.kind },
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

function summary({ kind, plan }: ReadPlan): string {
  const { name } = plan;
  return kind === 'calico'
    ? `${name}: ${describeSource(plan.source)} to ${describeTarget(plan.target)}`
    : `${name}: ${describeReference(plan.source)} to ${describeReference(plan.target)}, ${plan.strategy}`;
}

function details(id: string, { kind, plan }: ReadPlan): string {
  const { name, monitor, retainSource } = plan;
  const kept = `watched for ${monitor}; the source is kept for ${retainSource}`;
  return [
    kind === 'calico'
      ? `Carries **${name}** from \`${describeSource(plan.source)}\` to \`${describeTarget(plan.target)}\`.`
      : `Carries **${name}** from \`${describeReference(plan.source)}\` to \`${describeReference(plan.target)}\` by ${plan.strategy}.`,
    `- Watch: \`cutover watch ${id}\``,
    `- Decide at a gate: \`cutover approve ${id} GATE --by NAME\`, or the signals \`approve\` and \`reject\``,
    `- Go back: \`cutover rollback ${id} --by NAME --reason WHY\``,
    kind === 'calico'
      ? `- Both datastores are locked for at most ${plan.maxLocked}, then everything is undone; ${kept}`
      : `- Writes are stopped for at most ${plan.maxDowntime}; ${kept}`,
  ].join('\n');
}
