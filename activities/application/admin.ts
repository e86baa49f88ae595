// The runbook's admin endpoints of the application: maintenance mode, target health check, switch, normal mode.
// Contract: every endpoint is idempotent, so every call here may be repeated; the bearer token comes from the worker
// and never appears in an error. Durations in milliseconds.
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Check } from '../../journal/types';
import { parseDurationMs } from '../../plan/duration';
import type { Application } from '../../plan/postgres';
import { describeReference } from '../../plan/reference';
import { failure, failureType, type FailureType } from '../errors';
import { withHeartbeat } from '../heartbeat';
import { resolveSecret } from '../secret';
import { NoAnswer, sendRequest, type HttpAnswer } from './request';

export interface ApplicationDependencies {
  /** Of the worker: where `{"env": …}` of the token is looked up. */
  environment?: NodeJS.ProcessEnv;
}

/** What an admin call came to: the status of the answer and how long it took. */
export interface AdminCall {
  status: number;
  durationMs: number;
}

type Endpoint = 'maintenance-mode' | 'target-health-check' | 'switch-datastore' | 'normal-mode';

/** After the first write on the new side the application knows; normal mode lies behind when it is asked. */
const freezeKnownWithinMs = 5_000;
const pollMs = 50;

/** Statuses that mean "not now": worth another try. */
const notNow = new Set([408, 425, 429]);

/**
 * Calls of the application's admin endpoints. @throws, all of them but `checkApplication`:
 * ApplicationUnavailable (retryable) for no answer and 5xx, AuthDenied for 401 and 403, PreconditionFailed for any other status.
 */
export function createApplicationActivities({ environment }: ApplicationDependencies) {
  /** One call. Cancellation reaches it through the heartbeat. */
  async function post(application: Application, endpoint: Endpoint, json: object): Promise<HttpAnswer> {
    const token = await readToken(application, environment);
    const answer = await withHeartbeat({ endpoint }, ({ signal }) =>
      sendRequest({
        method: 'POST',
        url: endpointUrl(application, endpoint),
        timeoutMs: parseDurationMs(application.timeout) ?? 10_000,
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
        json,
        signal,
      }),
    );
    return { ...answer, body: masked(answer.body, token) };
  }

  async function call(application: Application, endpoint: Endpoint, json: object): Promise<AdminCall> {
    let answer: HttpAnswer;
    try {
      answer = await post(application, endpoint, json);
    } catch (error) {
      throw error instanceof NoAnswer ? unanswered(application, endpoint, error) : error;
    }
    if (answer.status >= 200 && answer.status < 300) return { status: answer.status, durationMs: answer.durationMs };
    throw refused(application, endpoint, answer);
  }

  return {
    /** For preflight: whether the endpoints are there and accept the token. Asks for the target's health, which changes nothing. Throws only on cancellation. */
    async checkApplication({ application }: { application: Application }): Promise<Check> {
      const endpoint = 'target-health-check';
      try {
        return checkOf(application, endpoint, await post(application, endpoint, {}));
      } catch (error) {
        if (error instanceof NoAnswer) {
          return failed(
            `no answer: ${error.message}`,
            `Start the application, or correct application.adminUrl; from the worker, ${curl(application, endpoint)} must answer`,
            error.durationMs,
          );
        }
        if (error instanceof Error && failureType(error)) {
          return failed(error.message, `Set the token in ${tokenName(application)} on every worker`);
        }
        throw error;
      }
    },

    /** Turns maintenance mode on (writes stop, those in flight have ended when it answers) or off. `migration` and `reason` are for the application's log. */
    async setMaintenanceMode(input: {
      application: Application;
      enabled: boolean;
      migration: string;
      reason: string;
    }): Promise<AdminCall> {
      const { application, enabled, migration, reason } = input;
      return call(application, 'maintenance-mode', { enabled, migration, reason });
    },

    /** Asks the application whether it can use the target. An answer of 409 or 5xx is "not yet": ApplicationUnavailable, retryable. */
    async checkTargetHealth({ application }: { application: Application }): Promise<AdminCall> {
      return call(application, 'target-health-check', {});
    },

    /** Points the application at one side, by the name that the plan has for it. */
    async switchDatastore({
      application,
      to,
    }: {
      application: Application;
      to: 'source' | 'target';
    }): Promise<AdminCall> {
      const target = to === 'target' ? application.switchTarget : application.switchSource;
      return call(application, 'switch-datastore', { target });
    },

    /** Lets the application write again. */
    async setNormalMode({ application }: { application: Application }): Promise<AdminCall> {
      return call(application, 'normal-mode', {});
    },

    /**
     * How long the application could not write at its last switch, as it saw it itself: milliseconds from the last write acknowledged on the
     * old side to the first on the new one. Asks `GET /admin/status` until it knows; an application that does not tell is not asked again.
     * Throws only on cancellation: a figure is no reason to fail.
     */
    async measureFreeze({ application }: { application: Application }): Promise<{ freezeMs?: number }> {
      return withHeartbeat({ endpoint: 'status' }, async ({ signal }) => {
        const giveUpAt = Date.now() + freezeKnownWithinMs;
        for (;;) {
          const told = await askFreeze(application, environment, signal);
          if (told !== 'not yet') return told === 'never' ? {} : { freezeMs: told };
          if (Date.now() > giveUpAt) return {};
          await sleep(pollMs, undefined, { signal });
        }
      });
    },
  };
}

export type ApplicationActivities = ReturnType<typeof createApplicationActivities>;

const lastSwitchSchema = z.object({ lastSwitch: z.object({ freezeMs: z.number().nonnegative() }).nullable() });

async function askFreeze(
  application: Application,
  environment: NodeJS.ProcessEnv | undefined,
  signal: AbortSignal,
): Promise<number | 'not yet' | 'never'> {
  try {
    const token = await readToken(application, environment);
    const { status, body } = await sendRequest({
      method: 'GET',
      url: endpointUrl(application, 'status'),
      timeoutMs: parseDurationMs(application.timeout) ?? 10_000,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      signal,
    });
    if (status >= 500) return 'not yet';
    const { lastSwitch } = lastSwitchSchema.parse(JSON.parse(body));
    return lastSwitch === null ? 'not yet' : lastSwitch.freezeMs;
  } catch (error) {
    signal.throwIfAborted();
    return error instanceof NoAnswer ? 'not yet' : 'never';
  }
}

/** A base of `http://orders.internal/shop` gives `http://orders.internal/shop/admin/normal-mode`. */
function endpointUrl(application: Application, endpoint: Endpoint | 'status'): string {
  return new URL(`admin/${endpoint}`, application.adminUrl.replace(/\/*$/, '/')).href;
}

async function readToken(
  { token }: Application,
  environment: NodeJS.ProcessEnv | undefined,
): Promise<string | undefined> {
  if (!token) return undefined;
  const text = await resolveSecret(token, environment);
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  throw failure(
    'PreconditionFailed',
    `The token in ${describeReference(token)} holds characters that no HTTP header may hold (it is not shown). Write the bare token there, in one line.`,
  );
}

function tokenName({ token }: Application): string {
  return token ? describeReference(token) : 'application.token of the plan';
}

/** An application that echoes its request must not carry the token into an error. */
function masked(text: string, token: string | undefined): string {
  return token ? text.replaceAll(token, '(token)') : text;
}

/** The first 200 characters, on one line. */
function start(body: string): string {
  const text = body.replaceAll(/\s+/g, ' ').trim();
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function unanswered(application: Application, endpoint: Endpoint, error: NoAnswer): Error {
  return failure(
    'ApplicationUnavailable',
    `POST ${endpointUrl(application, endpoint)} got no answer: ${error.message}. It is tried again by itself; check that the application runs and can be reached from the worker.`,
    { endpoint },
  );
}

function refused(application: Application, endpoint: Endpoint, { status, body }: HttpAnswer): Error {
  const [type, advice] = judge(application, endpoint, status);
  const said = start(body);
  return failure(
    type,
    `POST ${endpointUrl(application, endpoint)} was answered with status ${status}${said ? `: ${said}` : ''}. ${advice}`,
    { endpoint, status },
  );
}

function judge(application: Application, endpoint: Endpoint, status: number): [type: FailureType, advice: string] {
  if (status === 401 || status === 403) {
    return ['AuthDenied', `Set the token that the application accepts in ${tokenName(application)} and retry.`];
  }
  if (endpoint === 'target-health-check' && (status === 409 || status === 503)) {
    return [
      'ApplicationUnavailable',
      'The application cannot use the target yet; it is asked again by itself. Look at its log when that lasts.',
    ];
  }
  if (status >= 500 || notNow.has(status)) {
    return ['ApplicationUnavailable', "It is tried again by itself; look at the application's log when that lasts."];
  }
  if (status >= 300 && status < 400) {
    return ['PreconditionFailed', 'Redirects are not followed: write the final address in application.adminUrl.'];
  }
  if (status === 404 || status === 405) {
    return [
      'PreconditionFailed',
      'Correct application.adminUrl, or leave application out of the plan to be asked by gates instead.',
    ];
  }
  if (endpoint === 'switch-datastore' && status === 400) {
    return ['PreconditionFailed', 'Correct application.switchTarget and application.switchSource in the plan.'];
  }
  return ['PreconditionFailed', "Look at the application's log, mend what it refuses and retry the step."];
}

const check = {
  name: 'application-reachable',
  title: 'The application answers on its admin endpoints',
  side: 'application',
  expected: 'status 200 to POST /admin/target-health-check',
} as const;

function failed(found: string, fix: string, durationMs?: number): Check {
  return { ...check, outcome: 'fail', found, fix, ...(durationMs === undefined ? {} : { durationMs }) };
}

function checkOf(application: Application, endpoint: Endpoint, { status, body, durationMs }: HttpAnswer): Check {
  if (status >= 200 && status < 300) return { ...check, outcome: 'pass', found: `status ${status}`, durationMs };
  const said = start(body);
  const found = `status ${status}${said ? `: ${said}` : ''}`;
  const [type, advice] = judge(application, endpoint, status);
  if (type === 'AuthDenied') return failed(found, advice, durationMs);
  return { ...check, outcome: 'warn', found, fix: advice, durationMs };
}

function curl(application: Application, endpoint: Endpoint): string {
  return `curl -X POST ${endpointUrl(application, endpoint)}`;
}
