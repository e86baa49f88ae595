import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { isPortFree } from '../../local/ports';
import { compileLocal, type CompiledLocal } from '../fixtures/compiled-local';
import { processesOn } from '../fixtures/processes';
import { until } from '../fixtures/until';

let compiled: CompiledLocal;
const children: ChildProcess[] = [];

beforeAll(() => {
  compiled = compileLocal();
  chmodSync(compiled.folder, 0o755);
});
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  compiled.remove();
});

interface Started {
  temporary: string;
  child: ChildProcess;
  ended: Promise<NodeJS.Signals | number | null>;
  ports: number[];
}

const wholeStack = `require('./dist/local/stack.js').startStack({})`;
const calicoStack = `require('./dist/local/stack.js').startStack({ temporal: false, postgres: false, calico: true })`;
const oneDatabase = `require('./dist/local/postgres-server.js').startPostgres({ major: 15 }).then((source) => ({ source }))`;

/** A process that starts servers below its own temporary folder, says their ports and then does `next`. */
async function startElsewhere(name: string, next: string, start = wholeStack): Promise<Started> {
  const temporary = join(compiled.folder, name);
  mkdirSync(temporary, { mode: 0o755 });
  const script = compiled.script(
    `${name}.js`,
    `${start}.then((stack) => {
       const { source, target, temporal, calicoEtcd, kubernetes } = stack;
       const servers = [source, target, temporal, calicoEtcd, kubernetes, kubernetes?.etcd];
       console.log(servers.filter(Boolean).map((server) => server.port).join(' '));
       ${next}
     });`,
  );
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, TMPDIR: temporary },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const ended = new Promise<NodeJS.Signals | number | null>((resolve) =>
    child.once('exit', (code, signal) => resolve(signal ?? code)),
  );
  for await (const line of createInterface({ input: child.stdout })) {
    return { child, ended, ports: line.split(' ').map(Number), temporary };
  }
  throw new Error('The stack did not start.');
}

async function nothingIsLeft({ ports, temporary }: Started): Promise<void> {
  await until('no process is left', () => processesOn(temporary).filter((line) => !line.includes('.js')).length === 0);
  await until(
    'the temporary folders are gone',
    () => !readdirSync(temporary).some((name) => name.startsWith('cutover-')),
  );
  for (const port of ports) expect(await isPortFree(port)).toBe(true);
}

// Each server is ended by a supervisor that sees only that its parent is gone: the whole stack once by a signal that can be
// caught and once by the one that cannot, the other two signals with one server.
it.each([
  ['SIGKILL', wholeStack, 3],
  ['SIGINT', oneDatabase, 1],
  ['SIGTERM', wholeStack, 3],
  ['SIGHUP', oneDatabase, 1],
] as const)(
  'a process ended by %s leaves no server, no port and no folder behind within seconds',
  async (signal, start, servers) => {
    const started = await startElsewhere(signal, 'setInterval(() => undefined, 1000);', start);
    expect(started.ports).toHaveLength(servers);
    for (const port of started.ports) expect(await isPortFree(port)).toBe(false);
    started.child.kill(signal);
    expect(await started.ended).toBe(signal);
    await nothingIsLeft(started);
  },
);

it('a process that forgets to stop its servers ends all the same, and they with it', async () => {
  const started = await startElsewhere('forgetful', '');
  expect(await started.ended).toBe(0);
  await nothingIsLeft(started);
});

it.each(['SIGKILL', 'SIGTERM'] as const)(
  'a process ended by %s leaves nothing of the servers for Calico',
  async (signal) => {
    const started = await startElsewhere(`calico-${signal}`, 'setInterval(() => undefined, 1000);', calicoStack);
    expect(started.ports).toHaveLength(3);
    for (const port of started.ports) expect(await isPortFree(port)).toBe(false);
    started.child.kill(signal);
    expect(await started.ended).toBe(signal);
    await nothingIsLeft(started);
  },
);
