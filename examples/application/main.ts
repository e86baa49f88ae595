// The demo application as a process. Prints its address as one JSON line when ready; SIGTERM and SIGINT end it after the writes in flight.
//   node dist/examples/application/main.js --source-url-env SHOP_SOURCE_URL --target-url-env SHOP_TARGET_URL --ledger ledger.jsonl [--port 0] [--host 127.0.0.1] [--rate 50] [--writers <n>]
// ADMIN_TOKEN in the environment, when set, is the bearer token that the admin endpoints ask for.
import { parseArgs } from 'node:util';
import { startApplication } from './server';

const { values } = parseArgs({
  options: {
    'source-url-env': { type: 'string' },
    'target-url-env': { type: 'string' },
    ledger: { type: 'string' },
    port: { type: 'string', default: '0' },
    host: { type: 'string', default: '127.0.0.1' },
    rate: { type: 'string', default: '50' },
    writers: { type: 'string' },
  },
});

function urlOf(option: 'source-url-env' | 'target-url-env'): string {
  const url = process.env[values[option] ?? ''];
  if (!url) throw new Error(`--${option} must name an environment variable that holds a connection string`);
  return url;
}

function numberOf(option: 'port' | 'rate' | 'writers'): number {
  const number = Number(values[option]);
  if (!Number.isFinite(number) || number < 0) throw new Error(`--${option} is ${values[option]}; expected a number`);
  return number;
}

async function main(): Promise<void> {
  if (!values.ledger) throw new Error('--ledger must name a file');
  const application = await startApplication({
    sourceUrl: urlOf('source-url-env'),
    targetUrl: urlOf('target-url-env'),
    ledgerPath: values.ledger,
    port: numberOf('port'),
    host: values.host,
    rate: numberOf('rate'),
    ...(values.writers === undefined ? {} : { writers: numberOf('writers') }),
    ...(process.env.ADMIN_TOKEN ? { adminToken: process.env.ADMIN_TOKEN } : {}),
    log: (line) => console.error(line),
  });
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => void application.stop());
  console.log(JSON.stringify({ ready: true, url: application.url, ledger: application.ledgerPath }));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
