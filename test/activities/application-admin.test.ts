import { MockActivityEnvironment } from '@temporalio/testing';
import { createServer, type RequestListener, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import { createApplicationActivities } from '../../activities/application/admin';
import { probe, runHttpSmoke } from '../../activities/application/probes';
import { failureType } from '../../activities/errors';
import type { Application } from '../../plan/postgres';

const token = 'tok-3e1f0b77';
const activities = createApplicationActivities({ environment: { ADMIN_TOKEN: token } });
let server: Server;
let behave: RequestListener;
let asked: number;

const plan = (overrides: Partial<Application> = {}): Application => {
  const address = server.address();
  if (address === null || typeof address !== 'object') throw new Error('the server does not listen');
  return {
    adminUrl: `http://127.0.0.1:${address.port}`,
    switchTarget: 'new-database',
    switchSource: 'source-database',
    token: { env: 'ADMIN_TOKEN' },
    timeout: '2s',
    ...overrides,
  };
};
const respond =
  (status: number, body = '', headers: Record<string, string> = {}): RequestListener =>
  (_request, response) =>
    void response.writeHead(status, headers).end(body);
const failureOf = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => new Error('it did not fail'),
    (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
  );

beforeAll(async () => {
  server = createServer((request, response) => {
    asked += 1;
    behave(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
beforeEach(() => {
  asked = 0;
});
afterEach(() => server.closeAllConnections());
afterAll(() => new Promise((resolve) => server.close(resolve)));

describe('an admin call', () => {
  const calls = {
    maintenance: () =>
      activities.setMaintenanceMode({ application: plan(), enabled: true, migration: 'orders-to-18', reason: 'test' }),
    health: () => activities.checkTargetHealth({ application: plan() }),
    switch: () => activities.switchDatastore({ application: plan(), to: 'target' }),
    normal: () => activities.setNormalMode({ application: plan() }),
    dual: () => activities.setDualWrite({ application: plan(), enabled: true }),
    told: () => activities.readDualWrite({ application: plan() }),
  };

  it.each([
    ['maintenance', 500, 'ApplicationUnavailable'],
    ['normal', 503, 'ApplicationUnavailable'],
    ['normal', 429, 'ApplicationUnavailable'],
    ['health', 503, 'ApplicationUnavailable'],
    ['health', 409, 'ApplicationUnavailable'],
    ['switch', 409, 'PreconditionFailed'],
    ['switch', 400, 'PreconditionFailed'],
    ['switch', 404, 'PreconditionFailed'],
    ['dual', 501, 'PreconditionFailed'],
    ['dual', 404, 'PreconditionFailed'],
    ['dual', 503, 'ApplicationUnavailable'],
    ['told', 500, 'ApplicationUnavailable'],
    ['told', 401, 'AuthDenied'],
    ['maintenance', 401, 'AuthDenied'],
    ['maintenance', 403, 'AuthDenied'],
  ] as const)(
    '%s answered with %i is %s, and the message names method, path and status',
    async (name, status, type) => {
      behave = respond(status, 'not today');
      const error = await failureOf(calls[name]());
      expect(failureType(error)).toBe(type);
      expect(error.message).toMatch(
        new RegExp(`^(POST|GET) http://127.0.0.1:\\d+/admin/[a-z-]+ was answered with status ${status}`),
      );
      expect(error.message).toContain('not today');
    },
  );

  it('that is never answered ends at its time limit and may be tried again', async () => {
    behave = () => undefined;
    const error = await failureOf(activities.setNormalMode({ application: plan({ timeout: '150ms' }) }));
    expect(failureType(error)).toBe('ApplicationUnavailable');
    expect(error.message).toContain('no answer within 150 ms');
  });

  it('whose answer stops in the middle ends at its time limit too', async () => {
    behave = (_request, response) => void response.writeHead(200).write('{');
    const error = await failureOf(activities.setNormalMode({ application: plan({ timeout: '150ms' }) }));
    expect(failureType(error)).toBe('ApplicationUnavailable');
  });

  it('whose connection is closed or refused may be tried again', async () => {
    behave = (request) => request.socket.destroy();
    const closed = await failureOf(calls.normal());
    expect(failureType(closed)).toBe('ApplicationUnavailable');
    expect(closed.message).toContain('ECONNRESET');
    expect(closed.message).toContain('check that the application runs');
    const refused = await failureOf(
      activities.setNormalMode({ application: plan({ adminUrl: 'http://127.0.0.1:1' }) }),
    );
    expect(failureType(refused)).toBe('ApplicationUnavailable');
    expect(refused.message).toContain('ECONNREFUSED');
  });

  it('is not fooled by a connection that died since the last call', async () => {
    behave = () => undefined;
    await failureOf(activities.setNormalMode({ application: plan({ timeout: '100ms' }) }));
    behave = respond(200);
    for (let call = 0; call < 5; call += 1) {
      expect(await calls.normal()).toMatchObject({ status: 200 });
      server.closeAllConnections();
    }
  });

  it('never follows a redirect: the token would go to another server', async () => {
    behave = respond(307, '', { location: '/elsewhere' });
    expect(failureType(await failureOf(calls.normal()))).toBe('PreconditionFailed');
    expect(asked).toBe(1);
  });

  it('carries the bearer token and the body of the runbook below the path of the base URL', async () => {
    const seen: unknown[] = [];
    behave = (request, response) => {
      void text(request).then((body) => {
        seen.push([request.method, request.url, request.headers.authorization, JSON.parse(body)]);
        response.end('{}');
      });
    };
    const application = plan({ adminUrl: `${plan().adminUrl}/shop/` });
    await activities.setMaintenanceMode({ application, enabled: true, migration: 'orders-to-18', reason: 'cutover' });
    await activities.switchDatastore({ application, to: 'source' });
    expect(seen).toEqual([
      [
        'POST',
        '/shop/admin/maintenance-mode',
        `Bearer ${token}`,
        { enabled: true, migration: 'orders-to-18', reason: 'cutover' },
      ],
      ['POST', '/shop/admin/switch-datastore', `Bearer ${token}`, { target: 'source-database' }],
    ]);
  });

  it('never shows the token, not even when the application echoes it or it cannot be sent', async () => {
    behave = (request, response) => void response.writeHead(500).end(`you sent ${request.headers.authorization}`);
    const echoed = await failureOf(calls.normal());
    expect(echoed.message).toContain('you sent Bearer (token)');
    const check = await activities.checkApplication({ application: plan() });
    const broken = createApplicationActivities({ environment: { ADMIN_TOKEN: `${token}\nx` } });
    const unsendable = await failureOf(broken.setNormalMode({ application: plan() }));
    expect(failureType(unsendable)).toBe('PreconditionFailed');
    expect(JSON.stringify([echoed.message, echoed.stack, check, unsendable.message])).not.toContain(token);
  });

  it('is refused before anything is sent when its token is not on the worker', async () => {
    const error = await failureOf(
      createApplicationActivities({ environment: {} }).setNormalMode({ application: plan() }),
    );
    expect(failureType(error)).toBe('PreconditionFailed');
    expect(asked).toBe(0);
  });

  it('ends at once when the migration is cancelled, as a cancellation', async () => {
    const environment = new MockActivityEnvironment();
    behave = () => environment.cancel('CANCELLED');
    const error = await failureOf(
      environment.run(() => activities.setNormalMode({ application: plan({ timeout: '60s' }) })),
    );
    expect(error.name).toBe('CancelledFailure');
  });
});

describe('the preflight check of the application', () => {
  const outcome = async (application: Application) => {
    const { name, side, outcome, fix } = await activities.checkApplication({ application });
    expect([name, side]).toEqual(['application-reachable', 'application']);
    if (outcome !== 'pass') expect(fix).toBeTruthy();
    return outcome;
  };

  it('passes on 2xx, fails without authorization or answer, and warns of anything else', async () => {
    behave = respond(200, '{"healthy":true}');
    expect(await outcome(plan())).toBe('pass');
    behave = respond(401);
    expect(await outcome(plan())).toBe('fail');
    behave = () => undefined;
    expect(await outcome(plan({ timeout: '100ms' }))).toBe('fail');
    expect(await outcome(plan({ adminUrl: 'http://127.0.0.1:1' }))).toBe('fail');
    expect(await outcome(plan({ token: { env: 'NOT_SET' } }))).toBe('fail');
    behave = respond(503, 'x'.repeat(1_000));
    expect(await outcome(plan())).toBe('warn');
    const { found } = await activities.checkApplication({ application: plan() });
    expect(found.length).toBeLessThan(230);
  });
});

describe('dual write', () => {
  it('says what is needed of an application that cannot', async () => {
    behave = respond(501);
    const error = await failureOf(activities.setDualWrite({ application: plan(), enabled: true }));
    expect(error.message).toContain('needs an application that repeats each write on the other side');
  });

  it('is asked for with the token, and switching while it is on carries what is known of failed repeats', async () => {
    const seen: unknown[] = [];
    behave = (request, response) => {
      void text(request).then((body) => {
        seen.push([request.url, request.headers.authorization, JSON.parse(body)]);
        response.end('{}');
      });
    };
    await activities.setDualWrite({ application: plan(), enabled: false });
    await activities.switchDatastore({ application: plan(), to: 'target', failedRepeats: 3 });
    expect(seen).toEqual([
      ['/admin/dual-write', `Bearer ${token}`, { enabled: false }],
      ['/admin/switch-datastore', `Bearer ${token}`, { target: 'new-database', failedRepeats: 3 }],
    ]);
  });

  it('is read as the application tells it, and as nothing where it tells nothing', async () => {
    const dualWrite = {
      enabled: true,
      repeated: 7,
      failedRepeats: 1,
      lastFailure: { at: '2026-01-01', message: 'no' },
    };
    behave = respond(200, JSON.stringify({ mode: 'normal', dualWrite }));
    expect(await activities.readDualWrite({ application: plan() })).toEqual(dualWrite);
    for (const [status, body] of [
      [200, '{"mode": "normal"}'],
      [200, 'OK'],
      [404, ''],
    ] as const) {
      behave = respond(status, body);
      expect(await activities.readDualWrite({ application: plan() })).toBeUndefined();
    }
  });
});

describe('the measure of the freeze', () => {
  it('is asked for again while the application does not know yet, with the token', async () => {
    const answers = ['{"lastSwitch": null}', '{"lastSwitch": {"from": "source", "to": "target", "freezeMs": 87.5}}'];
    const tokens: unknown[] = [];
    behave = (request, response) => {
      tokens.push([request.method, request.url, request.headers.authorization]);
      response.end(answers.shift());
    };
    expect(await activities.measureFreeze({ application: plan() })).toEqual({ freezeMs: 87.5 });
    expect(tokens).toEqual(Array(2).fill(['GET', '/admin/status', `Bearer ${token}`]));
  });

  it('is nothing for an application that does not tell, and no reason to fail', async () => {
    for (const [status, body] of [
      [200, '{"mode": "normal"}'],
      [200, 'OK'],
      [404, ''],
      [401, '{}'],
    ] as const) {
      behave = respond(status, body);
      expect(await activities.measureFreeze({ application: plan() })).toEqual({});
    }
    expect(asked).toBe(4);
    expect(await activities.measureFreeze({ application: plan({ token: { env: 'NOT_SET' } }) })).toEqual({});
  });
});

describe('probes and smoke tests', () => {
  const smoke = { name: 'orders', expectStatus: 200 };

  it('tell an answer from an error and from no answer', async () => {
    const url = plan().adminUrl;
    behave = respond(204);
    expect(await probe({ name: 'shop', url }, 1_000)).toMatchObject({ ok: true, status: 204 });
    behave = respond(404);
    expect(await probe({ name: 'shop', url }, 1_000)).toMatchObject({ ok: false, status: 404, error: 'status 404' });
    behave = () => undefined;
    const silent = await probe({ name: 'shop', url }, 100);
    expect(silent).toMatchObject({ ok: false, error: 'no answer within 100 ms' });
    expect(silent).not.toHaveProperty('status');
  });

  it('pass only with the expected status and text', async () => {
    const url = plan().adminUrl;
    behave = respond(200, '{"orders": [1]}');
    expect(await runHttpSmoke({ ...smoke, url, expectBody: '"orders"' }, 1_000)).toMatchObject({ outcome: 'pass' });
    expect(await runHttpSmoke({ ...smoke, url, expectStatus: 201, expectBody: 'customers' }, 1_000)).toMatchObject({
      name: 'smoke: orders',
      outcome: 'fail',
      differences: ['status 200, expected 201', 'the body does not contain "customers"'],
    });
    expect(await runHttpSmoke({ ...smoke, url: 'http://127.0.0.1:1' }, 1_000)).toMatchObject({ outcome: 'fail' });
  });

  it('pass a cancellation on', async () => {
    const cancelled = new AbortController();
    behave = () => cancelled.abort(new Error('cancelled'));
    const error = await failureOf(probe({ name: 'shop', url: plan().adminUrl }, 10_000, cancelled.signal));
    expect(error.message).toBe('cancelled');
  });
});
