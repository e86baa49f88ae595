// `cutover temporal ARGS…`: the Temporal CLI, for people who have none on their PATH.
import { spawn } from 'node:child_process';
import { CommandFailed, type ExitCode, type Terminal } from '../context';
import { loadTemporalBinary } from '../parts';
import { action, type AddCommand } from './command';

export const addTemporal: AddCommand = (program, context) => {
  program
    .command('temporal')
    .description('run the Temporal CLI: TEMPORAL_CLI_PATH, the one on PATH, or the one that the local stack found')
    .argument('[args...]', 'passed on as they are')
    .passThroughOptions()
    .allowUnknownOption()
    .helpOption(false)
    .action(action(context, (args: string[]) => temporal(context.terminal, args)));
};

async function temporal(terminal: Terminal, args: string[]): Promise<ExitCode> {
  const command = await findCli(terminal);
  // Asked for, so that Ctrl-C, which reaches the child as well, does not end us before it.
  const { interrupted } = terminal;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit', env: terminal.environment });
    child.once('error', (error) => reject(new CommandFailed(`${command} cannot be run: ${error.message}`, 1)));
    child.once('exit', (code) => resolve(code === 0 || interrupted.aborted ? 0 : 1));
  });
}

async function findCli(terminal: Terminal): Promise<string> {
  try {
    return await loadTemporalBinary().findTemporalCli({ say: (line) => terminal.error(`${line}\n`) });
  } catch (error) {
    throw error instanceof CommandFailed
      ? error
      : new CommandFailed(error instanceof Error ? error.message : String(error), 1);
  }
}
