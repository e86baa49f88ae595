// `cutover worker`: the process that serves migrations, until it is told to stop.
import { firstLine } from '../connection';
import { CommandFailed, type ExitCode } from '../context';
import { loadWorker } from '../parts';
import { action, examples, type AddCommand } from './command';

export const addWorker: AddCommand = (program, context) => {
  const { terminal } = context;
  program
    .command('worker')
    .description('serve migrations: run workflows and activities until stopped')
    .addHelpText(
      'after',
      `${examples('worker')}
The databases of a plan are looked up in the environment of this process. TEMPORAL_* variables say which server;
CUTOVER_ARTIFACTS (file:///directory or s3://bucket/prefix) where dumps and reports are kept; CUTOVER_LOG_LEVEL and CUTOVER_METRICS_ADDRESS are optional.
`,
    )
    .action(
      action(context, async (): Promise<ExitCode> => {
        try {
          await loadWorker().runWorker({
            environment: terminal.environment,
            signal: terminal.interrupted,
            say: (line) => terminal.error(`${line}\n`),
          });
          return 0;
        } catch (error) {
          // By its name: the class comes with the worker, which other commands do not load.
          const wrong = error instanceof Error && error.name === 'WrongConfiguration';
          throw new CommandFailed(`The worker has ended: ${firstLine(error)}`, wrong ? 2 : 1);
        }
      }),
    );
};
