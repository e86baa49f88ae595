// Parts of the house that only some commands need, loaded when they do: the worker is heavy, and local/ (real servers for trying
// things out) needs packages that a production install does not have.
/* eslint-disable @typescript-eslint/no-require-imports -- loaded on demand, synchronously, by CommonJS */
import type * as TemporalBinary from '../local/binaries/temporal';
import type * as StackPart from '../local/stack';
import type * as WorkerPart from '../worker/run';
import { CommandFailed } from './context';

export function loadWorker(): typeof WorkerPart {
  return require('../worker/run') as typeof WorkerPart;
}

/** @throws CommandFailed with what to do where this install has no local servers */
export function loadStack(): typeof StackPart {
  return local(() => require('../local/stack') as typeof StackPart);
}

/** @throws CommandFailed as above */
export function loadTemporalBinary(): typeof TemporalBinary {
  return local(() => require('../local/binaries/temporal') as typeof TemporalBinary);
}

function local<Module>(load: () => Module): Module {
  try {
    return load();
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND')) throw error;
    throw new CommandFailed(
      `This install has no local servers (${error.message.split('\n')[0]}). Run this in a checkout after "npm ci", or start Temporal yourself ("temporal server start-dev") and "cutover worker" beside it.`,
      2,
    );
  }
}
