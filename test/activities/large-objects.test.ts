import { MockActivityEnvironment } from '@temporalio/testing';
import { failureType } from '../../activities/errors';
import { copyRig, type CopyRig } from '../fixtures/copy-rig';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { until } from '../fixtures/until';

/** 1200 small ones, and one of 100 MB that is larger than a batch. */
const fill = `
select count(lo_from_bytea(10000 + i, convert_to(repeat('content ' || i, i % 50), 'UTF8'))) from generate_series(1, 1200) i;
select lo_create(5000);
select count(lo_put(5000, i::bigint * 1048576, decode(repeat(md5(i::text), 65536 / 2), 'hex'))) from generate_series(0, 99) i`;

let pair: PostgresPair;
let rig: CopyRig;

beforeAll(async () => {
  pair = await startPair();
  rig = await copyRig(pair, fill);
  await rig.activities.prepareLedger({ scope: rig.scope });
});
afterAll(async () => {
  await rig.end();
  await pair.stop();
});

describe('large objects', () => {
  it('cancelled in the middle, leave no session and go on where they were', async () => {
    const { scope, activities } = rig;
    const environment = new MockActivityEnvironment();
    const copying = environment.run(() => activities.copyLargeObjects({ scope })).catch((error: unknown) => error);
    await until('the first is on its way', async () => {
      const { rowCount } = await rig.target.query(
        `select from pg_stat_activity where datname = current_database() and application_name = 'cutover copy large objects' and query like 'copy%'`,
      );
      return (rowCount ?? 0) > 0;
    });
    environment.cancel();
    expect(String(await copying)).toMatch(/cancel/i);
    for (const client of [rig.source, rig.target]) {
      const { rowCount } = await client.query(
        `select from pg_stat_activity where datname = current_database() and application_name like 'cutover copy%'`,
      );
      expect(rowCount).toBe(0);
    }
    const { objects, bytes } = await activities.copyLargeObjects({ scope });
    expect(objects).toBe(1_201);
    expect(bytes).toBeGreaterThan(100_000_000);
    expect(await activities.compareLargeObjects({ scope })).toMatchObject({
      outcome: 'pass',
      source: '1201 objects',
      target: '1201 objects',
    });
  });

  it('that differ are named with what differs', async () => {
    const { scope, activities } = rig;
    await rig.target.query(`select lo_put(10049, 3, '\\xff'); select lo_unlink(10001); select lo_create(42)`);
    await rig.target.query(`comment on large object 10002 is 'new'; grant select on large object 10003 to public`);
    const { outcome, differences } = await activities.compareLargeObjects({ scope });
    expect(outcome).toBe('fail');
    expect(differences?.sort()).toEqual([
      'large object 10001: missing on the target',
      'large object 10002: comment differ',
      expect.stringMatching(/^large object 10003: privileges .* differ$/),
      'large object 10049: content differ',
      'large object 42: extra on the target',
    ]);
  });

  it('of somebody else on the target are not overwritten', async () => {
    const other = await copyRig(pair, `select lo_from_bytea(4711, 'ours')`);
    await other.target.query(`select lo_from_bytea(4711, 'theirs')`);
    await other.activities.prepareLedger({ scope: other.scope });
    const error: unknown = await other.activities
      .copyLargeObjects({ scope: other.scope })
      .catch((thrown: unknown) => thrown);
    expect(failureType(error)).toBe('TargetConflict');
    expect(String(error)).toContain('large object 4711');
    await other.end();
  });
});
