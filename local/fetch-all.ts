// `node dist/local/fetch-all.js`: every server and tool that the tests need is found, fetched or built before the first of them runs, so that
// no test waits for a build. Says what it does; on a machine that has them all it takes a second.
import { findEtcd } from './binaries/etcd';
import { findKubeApiserver } from './binaries/kube-apiserver';
import { prepareMoto } from './binaries/moto';
import { findPostgres } from './binaries/postgres';
import { ensureClientTools } from './binaries/postgres-client';
import { findTemporalCli } from './binaries/temporal';
import { serverUser } from './server-user';

async function fetchAll(): Promise<void> {
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const user = await serverUser();
  // One after the other: each build uses all cores.
  for (const major of [15, 18]) await findPostgres({ major, user, say });
  await ensureClientTools(say, process.env);
  await findTemporalCli({ say });
  await findEtcd({ say });
  await findKubeApiserver({ say });
  await prepareMoto(say);
}

fetchAll().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
