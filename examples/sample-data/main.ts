// Loads the sample shop: `node dist/examples/sample-data/main.js --url-env SOURCE_DATABASE_URL [--rows 300000] [--role shop] [--password-env SHOP_PASSWORD] [--without-documents]`.
import { parseArgs } from 'node:util';
import { loadSampleData } from './load';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'url-env': { type: 'string' },
      rows: { type: 'string' },
      role: { type: 'string' },
      'password-env': { type: 'string' },
      'without-documents': { type: 'boolean', default: false },
    },
  });
  const url = process.env[values['url-env'] ?? ''];
  if (!url) {
    throw new Error('--url-env must name an environment variable that holds the connection string of the database');
  }
  const passwordEnv = values['password-env'];
  const rolePassword = passwordEnv === undefined ? undefined : process.env[passwordEnv];
  if (passwordEnv !== undefined && !rolePassword)
    throw new Error(`The variable ${passwordEnv} of --password-env is not set`);
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => interrupted.abort(new Error('interrupted; run it again to load afresh')));
  }
  await loadSampleData(url, {
    ...(values.rows === undefined ? {} : { rows: Number(values.rows) }),
    ...(values.role === undefined ? {} : { roleName: values.role }),
    ...(rolePassword === undefined ? {} : { rolePassword }),
    documents: !values['without-documents'],
    say: (line) => console.log(line),
    signal: interrupted.signal,
  });
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
