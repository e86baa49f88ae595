// What the plan wants done weeks from now, asked today. None of it needs a database, so there is none here: the other checks fail.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createFileStore } from '../../activities/artifacts/file-store';
import { PostgresConnections } from '../../activities/postgres/connection';
import { createPreflightActivities } from '../../activities/postgres/preflight';
import type { Check } from '../../journal/types';
import { describeIssues, parsePostgresPlan } from '../../plan/parse';
import type { PostgresPlanInput } from '../../plan/postgres';

const away = 'postgresql://postgres@127.0.0.1:1/away';

async function checks(given: Partial<PostgresPlanInput>): Promise<Check[]> {
  const parsed = parsePostgresPlan({ name: 'shop', source: { env: 'SOURCE' }, target: { env: 'TARGET' }, ...given });
  if (!parsed.ok) throw new Error(describeIssues(parsed.issues));
  const { strategy, roles, waivers, snapshot, validation, rollbackTriggers, afterwards, retire, ...plan } = parsed.plan;
  const activities = createPreflightActivities({
    connections: new PostgresConnections({ SOURCE: away, TARGET: away }),
    artifacts: createFileStore('file:///nowhere/cutover'),
    tools: {},
    environment: { TOKEN: 'verysecret' },
  });
  const scope = { migration: 'shop', source: plan.source, target: plan.target, tables: plan.tables };
  const wanted = { strategy, roles, waivers, snapshot, validation, triggers: rollbackTriggers, afterwards, retire };
  return (await activities.preflight({ scope, ...wanted })).checks;
}

async function check(name: string, given: Partial<PostgresPlanInput>): Promise<Check> {
  const found = (await checks(given)).find((one) => one.name === name);
  if (!found) throw new Error(`no check ${name}`);
  return found;
}

it('prometheus: the answer must be one number, and not one that is a breach already', async () => {
  let value = '0.5';
  let authorization: string | undefined;
  const api = createServer((request, response) => {
    ({ authorization } = request.headers);
    response.end(JSON.stringify({ status: 'success', data: { resultType: 'scalar', result: [1, value] } }));
  }).listen(0, '127.0.0.1');
  await once(api, 'listening');
  const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
  const asking = (token: string) =>
    check('prometheus', {
      rollbackTriggers: { prometheus: { url, query: 'rate(errors[5m])', token: { env: token }, maxValue: 1 } },
    });
  expect(await asking('TOKEN')).toMatchObject({ outcome: 'pass', found: '0.5, at most 1 is allowed' });
  expect(authorization).toBe('Bearer verysecret');
  value = '1.5';
  expect(await asking('TOKEN')).toMatchObject({
    outcome: 'fail',
    found: expect.stringContaining('gives 1.5') as string,
  });
  value = 'NaN';
  expect(await asking('TOKEN')).toMatchObject({
    outcome: 'fail',
    fix: expect.stringContaining('or vector(0)') as string,
  });
  expect((await asking('FORGOTTEN')).outcome).toBe('fail');
  api.closeAllConnections();
  await new Promise((closed) => api.close(closed));
  expect((await asking('TOKEN')).outcome).toBe('fail');
});

it('afterwards-commands: what is run after the switch must be on the worker, each by its name', async () => {
  const plan = (verify: string, retire: string): Partial<PostgresPlanInput> => ({
    afterwards: { targetBackup: { kind: 'command', command: ['/bin/sh', '-c', 'backup'], verify: [verify] } },
    retire: { command: [retire] },
  });
  expect(await check('afterwards-commands', plan('/bin/sh', '/bin/sh'))).toMatchObject({ outcome: 'pass' });
  expect(await check('afterwards-commands', plan('/nowhere/verify', '/nowhere/stop'))).toMatchObject({
    outcome: 'fail',
    found: 'not found on the worker, or not executable: /nowhere/verify, /nowhere/stop',
  });
});

it('neither is looked at where the plan names nothing of it', async () => {
  const names = (await checks({})).map(({ name }) => name);
  expect(names).toContain('source-reachable');
  expect(names).not.toContain('prometheus');
  expect(names).not.toContain('afterwards-commands');
});
