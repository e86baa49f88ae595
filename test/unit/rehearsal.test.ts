import type { ServerFacts } from '../../activities/postgres/preflight/server-facts';
import { judgeRehearsal, type Place } from '../../activities/postgres/rehearsal/guard';
import { describeIssues, parsePostgresPlan } from '../../plan/parse';
import type { PostgresPlanInput } from '../../plan/postgres';
import { rehearsalPlan } from '../../workflows/rehearsal-plan';

const server = (system: string | undefined, started: string, rest: Partial<ServerFacts> = {}): ServerFacts => ({
  version: '18.4',
  major: 18,
  user: 'postgres',
  superuser: true,
  createRole: true,
  database: 'orders',
  databaseOid: '16384',
  ...(system === undefined ? {} : { systemIdentifier: system }),
  startedAt: started,
  inRecovery: false,
  databaseBytes: 1,
  ...rest,
});
const production: Place[] = [
  { name: 'source', facts: server('1', '100.000001') },
  { name: 'target', facts: server('2', '200.000002') },
];
const refusals = (source: ServerFacts, target = server('4', '400.000004')): string =>
  judgeRehearsal(production, [
    { name: 'rehearsal source', facts: source },
    { name: 'rehearsal target', facts: target },
  ]).refusals.join('\n');

describe('the guard of a rehearsal', () => {
  it('passes databases of other servers, also two of one server, and says who each is', () => {
    expect(refusals(server('3', '300.000003'))).toBe('');
    const [one, two] = [server('3', '300.000003'), server('3', '300.000003', { databaseOid: '16385', database: 'b' })];
    expect(refusals(one, two)).toBe('');
    expect(judgeRehearsal(production, []).evidence[0]).toMatch(/^source: database orders .* system 1$/);
  });

  it('refuses production by whatever name it was reached, source and target, in either place', () => {
    expect(refusals(server('1', '100.000001', { address: '::1' }))).toContain('is the source itself');
    expect(refusals(server('3', '300.000003'), server('2', '200.000002'))).toContain(
      'the rehearsal target is the target itself',
    );
  });

  it('refuses another database of a production server: roles, WAL and disks are shared', () => {
    expect(refusals(server('1', '100.000001', { databaseOid: '20000' }))).toContain('is on the server of the source');
  });

  it('refuses a standby and a clone: nothing in a physical copy says which of the two is production', () => {
    expect(refusals(server('1', '300.000003', { inRecovery: true }))).toMatch(/physical copy[^]*is a standby/);
    expect(refusals(server('1', '300.000003'))).toContain('physical copy of the server of the source');
  });

  it('refuses what it cannot tell apart, and names the grant that lets it look', () => {
    const blind = server(undefined, '300.000003', { user: 'mover' });
    expect(refusals(blind)).toContain('grant execute on function pg_control_system() to "mover"');
  });

  it('refuses one database for both sides', () => {
    expect(refusals(server('4', '400.000004'))).toContain('give each its own');
  });
});

const least: PostgresPlanInput = { name: 'orders', source: { env: 'SOURCE' }, target: { env: 'TARGET' } };
const issuesOf = (rehearsal: unknown): string => {
  const parsed = parsePostgresPlan({ ...least, rehearsal });
  return parsed.ok ? '' : describeIssues(parsed.issues);
};

describe('the section rehearsal of a plan', () => {
  it('is two references or a reason, and never one of production', () => {
    expect(issuesOf({ source: { env: 'A' }, target: { env: 'B' } })).toBe('');
    expect(issuesOf({ skip: 'rehearsed by hand' })).toBe('');
    expect(issuesOf({ skip: 'no' })).toContain('plan.rehearsal.skip');
    expect(issuesOf({ source: { env: 'A' } })).toContain('plan.rehearsal.target');
    expect(issuesOf({ source: { env: 'SOURCE' }, target: { env: 'B' } })).toContain('never runs on production');
    expect(issuesOf({ source: { env: 'SOURCE', system: '7' }, target: { env: 'B' } })).toContain('never runs on');
    expect(issuesOf({ source: { env: 'A' }, target: { env: 'A' } })).toContain('plan.rehearsal.target');
  });
});

describe('the plan of a rehearsal', () => {
  it('is that of the migration, without anything that reaches production or people', () => {
    const parsed = parsePostgresPlan({
      ...least,
      strategy: 'cdc',
      application: { adminUrl: 'http://production:1' },
      cdc: { sourceFromTarget: { env: 'PRODUCTION_LINK' }, tablesWithoutKey: 'full' },
      rehearsal: { source: { env: 'A' }, target: { env: 'B' }, targetFromSource: { env: 'C' } },
      validation: {
        smoke: [
          { name: 'page', url: 'http://production:1/' },
          { name: 'orders', sql: 'select true' },
        ],
        assertions: [{ name: 'one', sql: 'select 1' }],
      },
      rollbackTriggers: {
        probes: [{ name: 'page', url: 'http://production:1/' }],
        prometheus: { url: 'http://production:9090', query: 'errors', maxValue: 1 },
      },
      snapshot: { kind: 'command', command: ['dump-production'] },
      afterwards: { targetBackup: { kind: 'command', command: ['dump-production'] } },
      // Refused together with automatic gates, which a rehearsal has.
      retire: { archive: true, drop: true, command: ['stop-production'] },
    });
    if (!parsed.ok || !parsed.plan.rehearsal || !('source' in parsed.plan.rehearsal)) throw new Error('no plan');
    const plan = rehearsalPlan(parsed.plan, parsed.plan.rehearsal);
    expect(JSON.stringify(plan)).not.toMatch(/production|PRODUCTION|"SOURCE"|"TARGET"/);
    const again = parsePostgresPlan(JSON.parse(JSON.stringify(plan)));
    if (!again.ok) throw new Error(describeIssues(again.issues));
    expect(again.plan).toMatchObject({
      strategy: 'cdc',
      source: { env: 'A' },
      target: { env: 'B' },
      gates: 'auto',
      cdc: { targetFromSource: { env: 'C' }, tablesWithoutKey: 'full' },
      validation: { smoke: [{ name: 'orders' }], assertions: [{ name: 'one' }] },
    });
  });

  it('may write to both sides without an application, which the plan of a migration may not', () => {
    const input: PostgresPlanInput = {
      ...least,
      strategy: 'dual-write',
      application: { adminUrl: 'http://production:1' },
      rehearsal: { source: { env: 'A' }, target: { env: 'B' } },
    };
    const parsed = parsePostgresPlan(input);
    if (!parsed.ok || !parsed.plan.rehearsal || !('source' in parsed.plan.rehearsal)) throw new Error('no plan');
    const plan = rehearsalPlan(parsed.plan, parsed.plan.rehearsal);
    expect(parsePostgresPlan(plan, { rehearsing: true })).toMatchObject({ ok: true, plan: { strategy: 'dual-write' } });
    expect(parsePostgresPlan(plan)).toMatchObject({ ok: false, issues: [{ path: 'plan.application' }] });
  });
});
