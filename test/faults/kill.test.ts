// kill -9 of whatever can die, in the middle of the phases where it hurts most, all in one migration: each kill has to be got over before the
// next one can be reached. Where the work would be over too soon to be met, a lock or the application's door holds it until the victim is dead.
// Afterwards every acknowledged write is there once, and nothing of ours is left.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { startAdminDoor, type AdminDoor } from '../fixtures/admin-door';
import { startShopWorld, type ShopWorld } from '../fixtures/shop-world';
import type { MigrationHandle } from '../fixtures/workflow-rig';
import { approveSignal, statusQuery, type MigrationStatus } from '../../workflows/messages';

type Victim = 'worker' | 'Temporal server' | 'source' | 'target';

const patienceMs = 180_000;
/** `PENDING_ACTIVITY_STATE_STARTED` */
const atWork = 2;

let world: ShopWorld;
let door: AdminDoor;
let handle: MigrationHandle;
/** What was killed, in which step, and which activity of it was at work. */
const met: string[] = [];

beforeAll(async () => {
  world = await startShopWorld({ orders: 3_000, rate: 50 });
  door = await startAdminDoor(world.application.url);
}, 300_000);
afterAll(async () => {
  await door.stop();
  await world.stop();
});

/** Polls; queries fail while a server is down. Blocked for good fails at once, with the reason. */
async function seen(
  what: string,
  wanted: (status: MigrationStatus) => boolean | Promise<boolean>,
): Promise<MigrationStatus> {
  const end = Date.now() + patienceMs;
  for (let last: MigrationStatus | undefined; ;) {
    const status = await handle.query(statusQuery).catch(() => undefined);
    if (status?.blocked) throw new Error(`blocked at ${status.blocked.step}: ${status.blocked.failure}`);
    if (status && (await wanted(status))) return status;
    last = status ?? last;
    if (Date.now() > end) throw new Error(`never ${what}; met: ${met.join(', ')}; last: ${JSON.stringify(last)}`);
    await sleep(200);
  }
}

/** Not completed yet: whether a worker has it in its hands, and which attempt it is. */
async function pending(activity: string): Promise<{ working: boolean; attempt: number }[]> {
  const { raw } = await handle.describe();
  return (raw.pendingActivities ?? [])
    .filter(({ activityType }) => activityType?.name === activity)
    .map(({ state, attempt }) => ({ working: Number(state) === atWork, attempt: Number(attempt) }));
}

/** A session that holds something until it is told to let go, or its server dies. */
async function hold(side: 'source' | 'target', sql: string) {
  const client = new pg.Client({ connectionString: side === 'source' ? world.sourceUrl : world.targetUrl });
  client.on('error', () => undefined);
  await client.connect();
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  await client.query(`begin; ${sql}`);
  return {
    /** Whether a session of the migration waits for what is held; those of the application do not count. */
    isWaitedFor: async (): Promise<boolean> => {
      const [waiting] = await world.query(
        side,
        `select count(*)::int as sessions from pg_stat_activity where ${rows[0]?.pid} = any(pg_blocking_pids(pid)) and usename = 'postgres'`,
      );
      return Number(waiting?.sessions) > 0;
    },
    letGo: () => client.end(),
  };
}

/** Kills the victim when that activity of that step is at work, begun at least that often; then it is started again. */
async function killIn(
  step: string,
  activity: string,
  victim: Victim,
  {
    attempt = 1,
    when = () => true,
    dead = () => undefined,
  }: {
    attempt?: number;
    when?: (status: MigrationStatus) => boolean | Promise<boolean>;
    /** Before it is started again. */
    dead?: () => Promise<void> | void;
  } = {},
): Promise<void> {
  await seen(`${activity} of ${step} at work, attempt ${attempt}`, async (status) => {
    const last = status.steps.at(-1);
    if (last?.id !== step || last.state !== 'running' || !(await when(status))) return false;
    return (await pending(activity)).some((one) => one.working && one.attempt >= attempt);
  });
  const { temporal, source, target } = world.stack;
  const server = { worker: undefined, 'Temporal server': temporal, source, target }[victim];
  if (server) server.kill();
  else world.worker.kill();
  // It died over that work: nobody was told that it is done. Where the worker lives, it may have noticed already.
  if (victim === 'worker') expect(await pending(activity)).toContainEqual(expect.objectContaining({ working: true }));
  else if (victim !== 'Temporal server') expect(await pending(activity)).not.toEqual([]);
  met.push(`${victim} in ${step} (${activity})`);
  await dead();
  if (server) await server.restart();
  else await world.replaceWorker();
}

it('kill -9 of worker, Temporal server, source and target, each in the phases that it can spoil, loses and doubles no row', async () => {
  handle = await world.start({
    application: { adminUrl: door.url, token: { env: 'SHOP_ADMIN_TOKEN' } },
    gates: { accept: 'auto', 'retire-source': 'auto' },
    copy: { lanes: 2, chunkMegabytes: 1, maxBytesPerSecond: 1_500_000 },
    maxDowntime: '1h',
  });

  await seen('gate start', ({ gate }) => gate === 'start');
  const unread = await hold('source', 'lock table shop.orders in access exclusive mode');
  const unmade = await hold('target', 'create schema shop');
  await handle.signal(approveSignal, { gate: 'start', by: 'test' });
  await killIn('snapshot', 'takeSnapshot', 'worker', { when: unread.isWaitedFor, dead: unread.letGo });
  await killIn('pre-data', 'restorePreData', 'worker', { when: unmade.isWaitedFor, dead: unmade.letGo });

  await seen('gate cutover', ({ gate }) => gate === 'cutover');
  const unfenced = await hold('source', `select pg_advisory_xact_lock(hashtextextended('cutover fence', 0))`);
  // The copy of everything else goes on; it ends when the target has died.
  await hold('target', 'lock table shop.audit_log in exclusive mode');
  await handle.signal(approveSignal, { gate: 'cutover', by: 'test' });
  await killIn('fence', 'raiseFence', 'worker', { when: unfenced.isWaitedFor, dead: unfenced.letGo });

  await killIn('copy-data', 'copyLane', 'worker', { when: ({ copy }) => (copy?.chunksDone ?? 0) > 0 });
  await killIn('copy-data', 'copyLane', 'Temporal server', { attempt: 2 });
  await killIn('copy-data', 'copyLane', 'source', { attempt: 2 });
  await killIn('copy-data', 'copyLane', 'target', { attempt: 2 });

  const unindexed = await hold('target', 'lock table shop.orders in row exclusive mode');
  await killIn('post-data', 'buildPostData', 'worker', { when: unindexed.isWaitedFor });
  await killIn('post-data', 'buildPostData', 'target', { attempt: 2, when: unindexed.isWaitedFor });

  const unbegun = await hold('target', 'create table cutover.digest (held int)');
  await seen('the comparison about to begin', unbegun.isWaitedFor);
  const uncompared = await hold('target', 'lock table shop.audit_log in access exclusive mode');
  await unbegun.letGo();
  await killIn('compare-rows', 'compareTables', 'worker', { when: uncompared.isWaitedFor });
  await killIn('compare-rows', 'compareTables', 'target', { attempt: 2, when: uncompared.isWaitedFor });

  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  let asked = false;
  door.beforeNext('switch-datastore', () => {
    asked = true;
    return opened;
  });
  await killIn('switch-datastore', 'switchDatastore', 'worker', { when: () => asked, dead: open });

  await seen('the end', ({ reportUrl }) => reportUrl !== undefined);
  expect(await handle.result()).toMatchObject({ outcome: 'completed', differences: 0 });
  expect(met).toEqual([
    'worker in snapshot (takeSnapshot)',
    'worker in pre-data (restorePreData)',
    'worker in fence (raiseFence)',
    'worker in copy-data (copyLane)',
    'Temporal server in copy-data (copyLane)',
    'source in copy-data (copyLane)',
    'target in copy-data (copyLane)',
    'worker in post-data (buildPostData)',
    'target in post-data (buildPostData)',
    'worker in compare-rows (compareTables)',
    'target in compare-rows (compareTables)',
    'worker in switch-datastore (switchDatastore)',
  ]);
  const { acknowledged, missing, doubled } = await world.judge('target');
  expect({ missing, doubled }).toEqual({ missing: [], doubled: [] });
  expect(acknowledged).toBeGreaterThan(0);
  const [left] = await world.query(
    'target',
    `select count(*)::int as schemas from pg_namespace where nspname = 'cutover'`,
  );
  expect(left).toEqual({ schemas: 0 });
}, 900_000);
