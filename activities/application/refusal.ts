// What an answer of the application that is no success means: which failure, and what to do about it.
import type { Application } from '../../plan/postgres';
import { describeReference } from '../../plan/reference';
import { failure, type FailureType } from '../errors';
import type { HttpAnswer, NoAnswer } from './request';

/** The last part of the address below `admin/`. */
export type Endpoint =
  'maintenance-mode' | 'target-health-check' | 'switch-datastore' | 'normal-mode' | 'dual-write' | 'status';

/** Statuses that mean "not now": worth another try. */
const notNow = new Set([408, 425, 429]);

/** A base of `http://orders.internal/shop` gives `http://orders.internal/shop/admin/normal-mode`. */
export function endpointUrl(application: Application, endpoint: Endpoint): string {
  return new URL(`admin/${endpoint}`, application.adminUrl.replace(/\/*$/, '/')).href;
}

export function tokenName({ token }: Application): string {
  return token ? describeReference(token) : 'application.token of the plan';
}

/** The first 200 characters, on one line. */
export function start(body: string): string {
  const text = body.replaceAll(/\s+/g, ' ').trim();
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

export function unanswered(application: Application, endpoint: Endpoint, error: NoAnswer): Error {
  return failure(
    'ApplicationUnavailable',
    `${request(application, endpoint)} got no answer: ${error.message}. It is tried again by itself; check that the application runs and can be reached from the worker.`,
    { endpoint },
  );
}

/** `POST http://orders.internal/admin/normal-mode` */
function request(application: Application, endpoint: Endpoint): string {
  return `${endpoint === 'status' ? 'GET' : 'POST'} ${endpointUrl(application, endpoint)}`;
}

export function refused(application: Application, endpoint: Endpoint, { status, body }: HttpAnswer): Error {
  const [type, advice] = judge(application, endpoint, status);
  const said = start(body);
  return failure(
    type,
    `${request(application, endpoint)} was answered with status ${status}${said ? `: ${said}` : ''}. ${advice}`,
    { endpoint, status },
  );
}

export function judge(
  application: Application,
  endpoint: Endpoint,
  status: number,
): [type: FailureType, advice: string] {
  if (status === 401 || status === 403) {
    return ['AuthDenied', `Set the token that the application accepts in ${tokenName(application)} and retry.`];
  }
  if (endpoint === 'dual-write' && (status === 404 || status === 405 || status === 501)) {
    return [
      'PreconditionFailed',
      'The strategy dual-write needs an application that repeats each write on the other side when it is asked to by POST /admin/dual-write {"enabled": true}. Teach it that, or choose the strategy cdc or incremental.',
    ];
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
