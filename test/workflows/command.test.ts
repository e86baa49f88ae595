import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NativeConnection, Worker } from '@temporalio/worker';
import { run } from '../../client/cli';
import type { ExitCode } from '../../client/context';
import { taskQueue, type MigrationStatus } from '../../workflows/messages';
import { createFakeWorld, type FakeWorld } from '../fixtures/fake-activities';
import { shortPlan, startWorkflowServer, type WorkflowServer } from '../fixtures/workflow-rig';

let folder: string;
let server: WorkflowServer;
let native: NativeConnection;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cutover-command-'));
  server = await startWorkflowServer();
  native = await NativeConnection.connect({ address: server.server.address });
});
afterAll(async () => {
  await native.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  code: ExitCode;
  out: string;
  error: string;
}

async function cutover(argv: string[], interrupted = new AbortController().signal): Promise<Answer> {
  let out = '';
  let error = '';
  const code = await run(argv, {
    out: (text) => void (out += text),
    error: (text) => void (error += text),
    environment: { TEMPORAL_CONFIG_FILE: '/nowhere/temporal.toml', TEMPORAL_ADDRESS: server.server.address },
    isTTY: false,
    columns: () => 100,
    rows: () => 40,
    interrupted,
  });
  return { code, out, error };
}

async function withWorker(use: (world: FakeWorld) => Promise<void>): Promise<void> {
  const world = createFakeWorld();
  const worker = await Worker.create({
    connection: native,
    taskQueue,
    workflowBundle: server.bundle,
    workflowThreadPoolSize: 1,
    activities: world.activities,
  });
  await worker.runUntil(() => use(world));
}

function planFile(name: string, rest: object = {}): string {
  const path = join(folder, `${name}.json`);
  writeFileSync(path, JSON.stringify({ ...shortPlan, name, ...rest }));
  return path;
}

async function statusWhen(id: string, wanted: (status: MigrationStatus) => boolean): Promise<MigrationStatus> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const { code, out } = await cutover(['status', id, '--json']);
    const status = JSON.parse(out) as MigrationStatus;
    if (code === 0 && wanted(status)) return status;
    await sleep(100);
  }
  throw new Error(`${id} did not get there`);
}

const atGate = (id: string, gate: string): Promise<MigrationStatus> => statusWhen(id, (status) => status.gate === gate);

it('a migration is started, watched, decided on and reported by the command alone', async () => {
  await withWorker(async () => {
    const file = planFile('by-command', { gates: { 'retire-source': 'auto' } });
    const started = await cutover(['start', file]);
    expect(started).toMatchObject({ code: 0 });
    expect(started.out).toContain('cutover watch by-command');

    await atGate('by-command', 'start');
    const again = await cutover(['start', file]);
    expect(again).toMatchObject({ code: 2 });
    expect(again.error).toContain('A migration "by-command" is running already');

    const shown = await cutover(['status', 'by-command']);
    expect(shown.out).toContain('Waiting for you: gate start (0 of 1 approvals)');
    expect(shown.out).toContain('cutover approve by-command start --by NAME');

    const early = await cutover(['approve', 'by-command', 'cutover', '--by', 'anna']);
    expect(early).toMatchObject({
      code: 2,
      error:
        'Refused: gate "cutover" is not open yet, so there is no evidence to decide on; the open gate is "start"\n',
    });

    const approved = await cutover(['approve', 'by-command', 'start', '--by', 'anna', '--reason', 'green']);
    expect(approved).toMatchObject({ code: 0, out: 'Approved: gate start is closed (approved).\n' });

    const watching = cutover(['watch', 'by-command']);
    await atGate('by-command', 'cutover');
    const half = await cutover(['report', 'by-command']);
    expect(half.out).toContain('**Still running.**');
    expect((await cutover(['approve', 'by-command', 'cutover', '--by', 'anna'])).code).toBe(0);
    await atGate('by-command', 'accept');
    expect((await cutover(['approve', 'by-command', 'accept', '--by', 'anna'])).code).toBe(0);

    const watched = await watching;
    expect(watched).toMatchObject({ code: 0 });
    expect(watched.out).toContain('gate cutover: approved by anna');
    expect(watched.out).toContain('outcome completed');
    expect(watched.error).toContain('has ended: completed');

    const ended = await cutover(['start', file]);
    expect(ended).toMatchObject({ code: 2 });
    expect(ended.error).toContain('--id by-command-2');

    const html = join(folder, 'report.html');
    expect((await cutover(['report', 'by-command', '--format', 'html', '--out', html])).code).toBe(0);
    expect(readFileSync(html, 'utf8')).toContain('<strong>Completed.</strong>');
    expect(JSON.parse((await cutover(['report', 'by-command', '--format', 'json'])).out)).toMatchObject({
      outcome: 'completed',
    });

    const late = await cutover(['approve', 'by-command', 'accept', '--by', 'ben']);
    expect(late).toMatchObject({ code: 2 });
    expect(late.error).toContain('has ended (completed)');
  });
});

it('the approval that ends a migration is answered like any other', async () => {
  await withWorker(async () => {
    const auto = { start: 'auto', cutover: 'auto', accept: 'auto' };
    for (const round of [1, 2, 3]) {
      const id = `last-gate-${round}`;
      await cutover(['start', planFile(id, { gates: auto })]);
      await atGate(id, 'retire-source');
      expect(await cutover(['approve', id, 'retire-source', '--by', 'anna'])).toMatchObject({
        code: 0,
        out: 'Approved: gate retire-source is closed (approved).\n',
      });
    }
  });
});

it('signals say whether they were taken or refused, and why', async () => {
  await withWorker(async () => {
    await cutover(['start', planFile('by-signal')]);
    await atGate('by-signal', 'start');
    expect(await cutover(['retry', 'by-signal', '--by', 'anna'])).toMatchObject({
      code: 2,
      error: 'Refused: no step is blocked\n',
    });
    expect(await cutover(['resume', 'by-signal', '--by', 'anna'])).toMatchObject({
      code: 2,
      error: 'Refused: nothing is paused\n',
    });
    expect((await cutover(['pause', 'by-signal', '--by', 'anna'])).out).toContain('Paused.');
    expect((await cutover(['resume', 'by-signal', '--by', 'anna'])).out).toContain('Resumed.');
    expect((await cutover(['tune', 'by-signal', '--lanes', '2'])).out).toContain('Tuned.');
    const back = await cutover(['rollback', 'by-signal', '--by', 'anna', '--reason', 'not today', '--json']);
    expect(JSON.parse(back.out)).toEqual({ id: 'by-signal', kind: 'taken' });
    expect(await cutover(['watch', 'by-signal'])).toMatchObject({ code: 1 });
    const gone = await cutover(['rollback', 'by-signal', '--by', 'anna', '--reason', 'again']);
    expect(gone).toMatchObject({ code: 2 });
  });
});

it('leaving the view leaves the migration as it is', async () => {
  await withWorker(async () => {
    await cutover(['start', planFile('left-alone')]);
    await atGate('left-alone', 'start');
    const leave = new AbortController();
    const watching = cutover(['watch', 'left-alone'], leave.signal);
    await sleep(500);
    leave.abort();
    const left = await watching;
    expect(left).toMatchObject({ code: 0 });
    expect(left.error).toContain('migration left-alone goes on');
    expect((await atGate('left-alone', 'start')).phase).toBeDefined();
    expect((await cutover(['cancel', 'left-alone'])).code).toBe(0);
    expect(await cutover(['watch', 'left-alone'])).toMatchObject({ code: 1 });
  });
});

it('without a worker, the command shows what the server knows and says so', async () => {
  const started = await cutover(['start', planFile('nobody')]);
  expect(started).toMatchObject({ code: 0 });
  const { code, out, error } = await cutover(['status', 'nobody']);
  expect(code).toBe(0);
  expect(error).toContain('No worker serves the task queue "migrations"');
  expect(out).toContain('kind postgres, phase new, gate none');
  const listed = await cutover(['list', '--json']);
  expect(JSON.parse(listed.out)).toEqual(
    expect.arrayContaining([expect.objectContaining({ id: 'nobody', phase: 'new', workflowStatus: 'RUNNING' })]),
  );
});

it('a migration that does not exist is a wrong call', async () => {
  for (const argv of [
    ['status', 'nope'],
    ['watch', 'nope'],
    ['cancel', 'nope'],
    ['report', 'nope'],
    ['approve', 'nope', 'start', '--by', 'anna'],
  ]) {
    const { code, error } = await cutover(argv);
    expect(error).toContain('There is no migration "nope"');
    expect(code).toBe(2);
  }
});
