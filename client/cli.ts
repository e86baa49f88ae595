#!/usr/bin/env node
// The `cutover` command: composes the commands, and turns whatever happens into an exit code and a message.
import { Command, CommanderError } from 'commander';
import { addAfterwards } from './commands/afterwards';
import { addCalico } from './commands/calico';
import { addDecide } from './commands/decide';
import { addDev } from './commands/dev';
import { addPlan } from './commands/plan';
import { addReap } from './commands/reap';
import { addReport } from './commands/report';
import { addCancel, addSignals } from './commands/signals';
import { addStart } from './commands/start';
import { addList, addStatus } from './commands/status';
import { addTemporal } from './commands/temporal';
import { addWatch } from './commands/watch';
import { addWorker } from './commands/worker';
import type { Context } from './commands/command';
import { CommandFailed, processTerminal, type ExitCode, type Terminal } from './context';
import { firstLine } from './connection';

const commands = [
  addDev,
  addWorker,
  addPlan,
  addStart,
  addList,
  addStatus,
  addWatch,
  addDecide,
  addSignals,
  addCancel,
  addAfterwards,
  addReport,
  addReap,
  addCalico,
  addTemporal,
];

/**
 * Runs one command. Never throws.
 * @param argv without node and script: `['plan', 'check', 'orders.json']`
 * @returns 0 fine, 1 the migration did not succeed or the server cannot be reached, 2 the call was wrong
 */
export async function run(argv: string[], terminal: Terminal): Promise<ExitCode> {
  const context: Context = { terminal, exitCode: 0 };
  const program = new Command('cutover')
    .description('Live datastore migrations as durable Temporal workflows.')
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.error(text) })
    .enablePositionalOptions()
    .showHelpAfterError('Run it with --help for examples.')
    .addHelpText(
      'after',
      '\nExit codes: 0 fine, 1 the migration did not succeed or the server cannot be reached, 2 the call was wrong.\nTEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and TEMPORAL_PROFILE say which Temporal; NO_COLOR turns colours off.',
    );
  for (const add of commands) add(program, context);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return context.exitCode;
  } catch (error) {
    if (error instanceof CommanderError)
      return error.code === 'commander.helpDisplayed' || error.code === 'commander.version' ? 0 : 2;
    if (error instanceof CommandFailed) {
      terminal.error(`${error.message}\n`);
      return error.exitCode;
    }
    terminal.error(
      `${firstLine(error)}\n${terminal.environment.CUTOVER_DEBUG && error instanceof Error ? `${error.stack ?? ''}\n` : ''}`,
    );
    return 1;
  }
}

if (require.main === module) {
  void run(process.argv.slice(2), processTerminal()).then((code) => {
    process.exitCode = code;
  });
}
