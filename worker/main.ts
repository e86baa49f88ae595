// The worker as a process: `npm run worker`, and what the container runs.
import { WrongConfiguration } from './config';
import { runWorker } from './run';

async function main(): Promise<void> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
  await runWorker({ environment: process.env, signal: stop.signal, say: (line) => process.stderr.write(`${line}\n`) });
}

main().catch((error: unknown) => {
  process.stderr.write(`the worker ended: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof WrongConfiguration ? 2 : 1;
});
