// The runbook's admin endpoints of the application: maintenance mode, target health check, switch, normal mode, dual write.
// Contract: every endpoint is idempotent, so every call here may be repeated; the bearer token comes from the worker
// and never appears in an error. Durations in milliseconds.
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Check } from '../../journal/types';
import { parseDurationMs } from '../../plan/duration';
import type { Application } from '../../plan/postgres';
import { describeReference } from '../../plan/reference';
import { failure, failureType } from '../errors';
import { withHeartbeat } from '../heartbeat';
import { resolveSecret } from '../secret';
import { endpointUrl, judge, refused, start, tokenName, unanswered, type Endpoint } from './refusal';
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

/** What the application tells of its dual write in `GET /admin/status`. */
export interface DualWriteStatus {
  /** Whether every write that begins now is repeated on the other side. */
  enabled: boolean;
  /** Writes repeated on the other side since the application started. */
  repeated: number;
  /** Writes that were not repeated: the reconciler's to mend. Never goes down, and goes up when the application was killed while it wrote to both. */
  failedRepeats: number;
  /** `at` in ISO 8601 UTC; null while none has failed. */
  lastFailure: { at: string; message: string } | null;
}

/** After the first write on the new side the application knows; normal mode lies behind when it is asked. */
const freezeKnownWithinMs = 5_000;
const pollMs = 50;

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

    /**
     * Points the application at one side, by the name that the plan has for it: in maintenance mode, or while it writes to both.
     * @param input.failedRepeats while it writes to both: switches only if exactly so many repeats have failed, as `readDualWrite` told before the
     * comparison that found both sides equal. Otherwise something may be on the old side alone: PreconditionFailed with status 409 in its details.
     */
    async switchDatastore(input: {
      application: Application;
      to: 'source' | 'target';
      failedRepeats?: number;
    }): Promise<AdminCall> {
      const { application, to, failedRepeats } = input;
      const target = to === 'target' ? application.switchTarget : application.switchSource;
      return call(application, 'switch-datastore', {
        target,
        ...(failedRepeats === undefined ? {} : { failedRepeats }),
      });
    },

    /** Lets the application write again. */
    async setNormalMode({ application }: { application: Application }): Promise<AdminCall> {
      return call(application, 'normal-mode', {});
    },

    /**
     * Asks the application to write to both sides, or to end that. With `enabled`, when it answers every write in flight has ended and each later
     * one is repeated on the side that is not active; without, when the repeats under way have ended.
     * An application that cannot (404, 405, 501) is PreconditionFailed, which says what it needs.
     */
    async setDualWrite({ application, enabled }: { application: Application; enabled: boolean }): Promise<AdminCall> {
      return call(application, 'dual-write', { enabled });
    },

    /** What the application tells of its dual write; undefined for one that tells nothing of it. No answer and 5xx are ApplicationUnavailable, retryable. */
    async readDualWrite({ application }: { application: Application }): Promise<DualWriteStatus | undefined> {
      return withHeartbeat({ endpoint: 'status' }, async ({ signal }) => {
        try {
          const answer = await getStatus(application, environment, signal);
          if (answer.status >= 200 && answer.status < 300) return dualWriteOf(answer.body);
          if (answer.status === 404 || answer.status === 405) return undefined;
          throw refused(application, 'status', answer);
        } catch (error) {
          throw error instanceof NoAnswer ? unanswered(application, 'status', error) : error;
        }
      });
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
    const { status, body } = await getStatus(application, environment, signal);
    if (status >= 500) return 'not yet';
    const { lastSwitch } = lastSwitchSchema.parse(JSON.parse(body));
    return lastSwitch === null ? 'not yet' : lastSwitch.freezeMs;
  } catch (error) {
    signal.throwIfAborted();
    return error instanceof NoAnswer ? 'not yet' : 'never';
  }
}

const dualWriteSchema = z.object({
  dualWrite: z.object({
    enabled: z.boolean(),
    repeated: z.number(),
    failedRepeats: z.number(),
    lastFailure: z.object({ at: z.string(), message: z.string() }).nullable(),
  }),
});

function dualWriteOf(body: string): DualWriteStatus | undefined {
  try {
    return dualWriteSchema.parse(JSON.parse(body)).dualWrite;
  } catch {
    return undefined;
  }
}

async function getStatus(
  application: Application,
  environment: NodeJS.ProcessEnv | undefined,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const token = await readToken(application, environment);
  const answer = await sendRequest({
    method: 'GET',
    url: endpointUrl(application, 'status'),
    timeoutMs: parseDurationMs(application.timeout) ?? 10_000,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    signal,
  });
  return { ...answer, body: masked(answer.body, token) };
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

/** An application that echoes its request must not carry the token into an error. */
function masked(text: string, token: string | undefined): string {
  return token ? text.replaceAll(token, '(token)') : text;
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
