// Passes over a source whose transaction numbers begin anew: nothing is missed, and rows from before the wrap are not taken for new ones.
// Needs pg_resetwal beside the server, which not every build of PostgreSQL brings along.
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { createIncrementalActivities, type PassSummary } from '../../activities/postgres/incremental';
import { incrementalSchema } from '../../plan/incremental';
import { copyAll, copyRig, type CopyRig } from '../fixtures/copy-rig';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';

const resetTool = ['/usr/lib/postgresql/15/bin/pg_resetwal', '/usr/pgsql-15/bin/pg_resetwal'].find((path) =>
  existsSync(path),
);
/** Near the end of 32 bits, in the last segment of pg_xact. */
const nearTheEnd = 4_294_967_000;
const settings = incrementalSchema.parse({});

let pair: PostgresPair;
let rig: CopyRig;
let writer: Client | undefined;
beforeAll(async () => {
  // Nothing but the test uses up numbers, and nothing looks at their limits.
  pair = await startPair({ autovacuum: 'off' });
});
afterAll(async () => {
  await writer?.end();
  if (resetTool) await rig.end();
  await pair.stop();
});

async function onSource(database: string, work: (session: Client) => Promise<unknown>): Promise<void> {
  const session = new Client({ connectionString: pair.source.url(database) });
  await session.connect();
  await work(session).finally(() => session.end());
}

/** Puts the source right before the wrap; its rows are frozen, as vacuum has them long before that. */
async function nearWrap(): Promise<void> {
  for (const database of ['postgres', 'template1', rig.scope.migration])
    await onSource(database, (session) => session.query('vacuum freeze'));
  await onSource('postgres', (session) => session.query('checkpoint'));
  await rig.source.end();
  const folder = join(pair.source.folder, 'data');
  const { uid, gid } = statSync(folder);
  pair.source.kill();
  rmSync(join(folder, 'postmaster.pid'), { force: true });
  const segment = join(folder, 'pg_xact', '0FFF');
  writeFileSync(segment, Buffer.alloc(256 * 1_024));
  chownSync(segment, uid, gid);
  execFileSync(resetTool!, ['-f', '-x', String(nearTheEnd), '-D', folder], { uid, gid, cwd: folder });
  await pair.source.restart();
}

async function pass(number: number): Promise<PassSummary> {
  const { dependencies, scope } = rig;
  const incremental = createIncrementalActivities(dependencies);
  await incremental.beginPass({ scope, pass: number, settings });
  await incremental.passLane({ scope, pass: number, lane: 0, settings });
  return incremental.summarizePass({ scope, pass: number });
}

(resetTool ? it : it.skip)('a pass across the wrap brings what has changed, and nothing else', async () => {
  rig = await copyRig(
    pair,
    'create table public.wrapped (id int primary key, n int); insert into public.wrapped select i, 0 from generate_series(1, 3000) i',
  );
  await nearWrap();
  const session = new Client({ connectionString: pair.source.url(rig.scope.migration) });
  await session.connect();
  writer = session;
  const write = async (from: number, to: number): Promise<void> => {
    for (let id = from; id <= to; id += 1) await session.query(`update public.wrapped set n = n + 1 where id = ${id}`);
  };
  await rig.activities.prepareLedger({ scope: rig.scope });
  await createIncrementalActivities(rig.dependencies).beginIncremental({ scope: rig.scope });
  await copyAll(rig);
  await write(1, 100);
  expect(await pass(1)).toMatchObject({ rows: '100', deleted: '0' });
  await write(101, 600);
  const { rows } = await session.query<{ number: string }>('select txid_current()::text as number');
  expect(Number(rows[0]?.number)).toBeGreaterThan(2 ** 32);
  expect(await pass(2)).toMatchObject({ rows: '500', deleted: '0' });
  await write(601, 650);
  expect(Number((await pass(3)).rows)).toBeLessThanOrEqual(52);
  const { unequal } = await rig.activities.compareTables({
    scope: rig.scope,
    checksum: 'all',
    lanes: 1,
    attempt: 'after the wrap',
  });
  expect(unequal).toBe(0);
});
