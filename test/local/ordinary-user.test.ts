import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, linkSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findEtcd } from '../../local/binaries/etcd';
import { findKubeApiserver } from '../../local/binaries/kube-apiserver';
import { findTemporalCli } from '../../local/binaries/temporal';
import { compileLocal, type CompiledLocal } from '../fixtures/compiled-local';

const run = promisify(execFile);
const nobody = { uid: 65_534, gid: 65_534 };

const skipped = whyNot();
const test = skipped ? it.skip : it;
let compiled: CompiledLocal | undefined;

afterAll(() => compiled?.remove());

test(`an ordinary user starts, restarts and stops the whole stack${skipped ? ` (skipped: ${skipped})` : ''}`, async () => {
  compiled = compileLocal();
  chmodSync(compiled.folder, 0o755);
  const home = join(compiled.folder, 'home');
  mkdirSync(home);
  const binaries = {
    TEMPORAL_CLI_PATH: placeReadable(await findTemporalCli(), join(compiled.folder, 'temporal')),
    CUTOVER_ETCD: placeReadable(await findEtcd(), join(compiled.folder, 'etcd')),
    CUTOVER_KUBE_APISERVER: placeReadable(await findKubeApiserver(), join(compiled.folder, 'kube-apiserver')),
  };
  const script = compiled.script(
    'ordinary.js',
    `const { startStack } = require('./dist/local/stack.js');
     const { Client } = require('pg');
     (async () => {
       const stack = await startStack({ folder: process.env.HOME + '/stack', calico: true, say: console.log });
       await stack.source.restart();
       await Promise.all([stack.calicoEtcd.restart(), stack.kubernetes.restart()]);
       for (const server of [stack.source, stack.target]) {
         const client = new Client({ connectionString: server.url() });
         await client.connect();
         await client.query('create table made as select 1');
         await client.end();
       }
       await stack.stop();
       console.log('all stopped as user', process.getuid());
     })();`,
  );
  const root = process.getuid?.() === 0;
  if (root) chownSync(home, nobody.uid, nobody.gid);
  const { stdout } = await run(process.execPath, [script], {
    ...(root ? nobody : {}),
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home, TMPDIR: home, ...binaries },
    timeout: 90_000,
  });
  expect(stdout).toContain(`all stopped as user ${root ? nobody.uid : process.getuid?.()}`);
});

/** Only root can become someone else, and only when Node and the checkout are open to others. */
function whyNot(): string | undefined {
  if (process.getuid === undefined) return 'no users on this system';
  if (process.getuid() !== 0) return undefined;
  try {
    execFileSync(process.execPath, ['-e', `require('${join(__dirname, '../../package.json')}')`], {
      ...nobody,
      cwd: '/',
      stdio: 'ignore',
    });
    return undefined;
  } catch {
    return 'Node or this checkout is not readable for other users';
  }
}

function placeReadable(from: string, to: string): string {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
  chmodSync(to, 0o755);
  return to;
}
