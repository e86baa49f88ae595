import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatDurationMs, parseDurationMs } from '../../plan/duration';
import { ruleOf } from '../../plan/gates';
import { postgresPlanJsonSchema } from '../../plan/json-schema';
import { describeIssues, parsePostgresPlan } from '../../plan/parse';

const least = { name: 'orders-to-18', source: { env: 'SOURCE' }, target: { env: 'TARGET' } };

const issuesOf = (input: unknown): string => {
  const parsed = parsePostgresPlan(input);
  return parsed.ok ? '' : describeIssues(parsed.issues);
};

describe('a plan', () => {
  it('needs only name, source and target; every default is the cautious one', () => {
    const parsed = parsePostgresPlan(least);
    expect(parsed).toMatchObject({
      ok: true,
      plan: {
        strategy: 'big-bang',
        snapshot: { kind: 'pg_dump' },
        gates: {},
        validation: { checksum: 'all', performance: { maxRegressionPercent: 10 } },
        rollbackTriggers: { errorRatePercent: 1, slowdownPercent: 50 },
        monitor: '24h',
        retainSource: '30d',
        retire: 'keep-fenced',
      },
    });
    expect(parsed.ok && ruleOf(parsed.plan.gates, 'cutover')).toEqual({ approvers: 1, onTimeout: 'reject' });
  });

  it.each([
    [
      'a misspelt field',
      { ...least, tables: { inclued: ['public.*'] } },
      'plan.tables.inclued: found a field that plans do not have',
    ],
    [
      'an unknown gate',
      { ...least, gates: { cutovr: 'auto' } },
      'plan.gates.cutovr: found a field that plans do not have',
    ],
    ['a duration without a unit', { ...least, monitor: '24' }, 'plan.monitor: found "24"; expected a duration'],
    ['a missing target', { name: 'x', source: { env: 'A' } }, 'plan.target: found nothing'],
    [
      'a table pattern without a schema',
      { ...least, tables: { include: ['orders'] } },
      'plan.tables.include[0]: found "orders"; expected "schema.table"',
    ],
    ['no approvers', { ...least, gates: { start: { approvers: 0 } } }, 'plan.gates.start.approvers: found 0'],
    ['a strategy that is not there', { ...least, strategy: 'logical' }, 'plan.strategy: found "logical"; expected'],
    [
      'dual writing without an application',
      { ...least, strategy: 'dual-write' },
      'plan.application: found nothing; expected the admin endpoints of the application',
    ],
    [
      'large objects copied under the fence beside reverse replication',
      { ...least, strategy: 'cdc', cdc: { largeObjects: 'copy-under-fence' } },
      'plan.cdc.largeObjects: found "copy-under-fence"; expected "refuse"',
    ],
    [
      'a snapshot by RDS of nothing',
      { ...least, snapshot: { kind: 'rds' } },
      'plan.snapshot.instance: found nothing; expected exactly one of "instance" (a DB instance) and "cluster"',
    ],
    [
      'a snapshot by RDS of two things',
      { ...least, snapshot: { kind: 'rds', instance: 'one', cluster: 'two' } },
      'plan.snapshot.cluster: found "two"; expected exactly one of "instance"',
    ],
    [
      'a snapshot by RDS that is to be deleted',
      { ...least, snapshot: { kind: 'rds', instance: 'one', keep: false } },
      'plan.snapshot.keep: found false; expected true: a migration never deletes its snapshot',
    ],
    [
      'a region that is none',
      { ...least, snapshot: { kind: 'rds', instance: 'one', region: 'Frankfurt' } },
      'plan.snapshot.region: found "Frankfurt"; expected a region, for instance "eu-central-1"',
    ],
    ['the same reference twice', { ...least, target: { env: 'SOURCE' } }, 'plan.target: found {"env":"SOURCE"}'],
    ['an array', [], 'plan: found []; expected object'],
  ])('with %s is refused by path, found and expected', (_what, input, message) => {
    expect(issuesOf(input)).toContain(message);
    expect(issuesOf(input)).toContain('fix: ');
  });

  it('reports everything that is wrong at once', () => {
    expect(issuesOf({ ...least, monitor: 'x', retainSource: 'y', nmae: 'z' }).split('\n')).toHaveLength(3);
  });

  it.each([
    ['in place of a reference', { ...least, source: 'postgresql://me:hunter2@db/orders' }],
    ['as a libpq keyword', { ...least, source: 'host=db password=hunter2' }],
    ['anywhere else', { ...least, decision: { rationale: 'see postgresql://me:hunter2@db/orders' } }],
    [
      'inside a command',
      { ...least, snapshot: { kind: 'command', command: ['dump', 'postgresql://me:hunter2@db/orders'] } },
    ],
  ])('with a password %s is refused, and the password is not shown', (_where, input) => {
    const message = issuesOf(input);
    expect(message).toContain('a password (not shown)');
    expect(message).not.toContain('hunter2');
  });

  it('drops a source only after an archive, and never by itself', () => {
    const wrong = (rest: object): string => issuesOf({ ...least, ...rest });
    expect(wrong({ retire: { archive: true, drop: true } })).toBe('');
    expect(wrong({ retire: 'reopen' })).toBe('');
    expect(wrong({ retire: { drop: true } })).toMatch(/plan.retire.archive: found .*expected true together with drop/);
    expect(wrong({ retire: {} })).toContain('at least one of archive, drop and command');
    expect(wrong({ retire: 'delete' })).toContain('plan.retire: found "delete"');
    const auto = 'with drop-source not "auto"';
    expect(wrong({ retire: { archive: true, drop: true }, gates: 'auto' })).toContain(auto);
    expect(wrong({ retire: { archive: true, drop: true }, gates: { 'drop-source': 'auto' } })).toContain(auto);
  });

  it('has a JSON Schema in the repository that is what the code says', () => {
    expect(readFileSync(join(__dirname, '..', '..', 'plan', 'postgres-plan.schema.json'), 'utf8')).toBe(
      postgresPlanJsonSchema(),
    );
  });
});

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['90s', 90_000],
    ['15m', 900_000],
    ['24h', 86_400_000],
    ['30d', 2_592_000_000],
    ['1.5h', 5_400_000],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });

  it.each([
    [230, '230 ms'],
    [4_200, '4.2 s'],
    [59_000, '59 s'],
    [3_599_000, '59 min 59 s'],
    [5_430_000, '1 h 30 min'],
    [2_592_000_000, '30 d'],
  ])('%d ms reads %s', (ms, text) => {
    expect(formatDurationMs(ms)).toBe(text);
  });
});
