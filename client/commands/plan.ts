// `cutover plan check` and `cutover plan schema`: no server needed.
import { calicoPlanJsonSchema, postgresPlanJsonSchema } from '../../plan/json-schema';
import { printJson } from '../output';
import { readPlan } from '../plan-file';
import { action, examples, type AddCommand } from './command';

export const addPlan: AddCommand = (program, context) => {
  const { terminal } = context;
  const plan = program.command('plan').description('check a plan, or print its JSON Schema');
  plan
    .command('check')
    .description('validate a plan and print it with every default; exit code 2 and every mistake when it is refused')
    .argument('<file>', 'plan in JSON or YAML')
    .option('--json', 'the plan only, as JSON (the same here)')
    .addHelpText('after', examples('plan check orders.json', 'plan check orders.yaml'))
    .action(
      action(context, (file: string, { json }: { json?: boolean }) => {
        const checked = readPlan(file);
        printJson(terminal, checked.plan);
        if (!json) terminal.error(`${file} is a valid plan; above it stands with every default.\n`);
        return 0;
      }),
    );
  plan
    .command('schema')
    .description('print the JSON Schema of a plan, for editors')
    .option('--calico', 'of a Calico plan; without it of a PostgreSQL plan')
    .addHelpText('after', examples('plan schema > plan.schema.json', 'plan schema --calico > calico.schema.json'))
    .action(
      action(context, ({ calico }: { calico?: boolean }) => {
        terminal.out(calico ? calicoPlanJsonSchema() : postgresPlanJsonSchema());
        return 0;
      }),
    );
};
