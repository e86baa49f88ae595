// SQLSTATE and socket errors -> the closed set of failures. Cancellation always passes untouched.
import { isNativeError } from 'node:util/types';
import { CancelledFailure, ApplicationFailure } from '@temporalio/common';
import { failure, type FailureType } from '../errors';

export type Side = 'source' | 'target' | 'scratch';

interface DriverError extends Error {
  code?: string;
  detail?: string;
  hint?: string;
}

const byState: [pattern: RegExp, type: FailureType | 'unavailable', advice: string][] = [
  [/^28/, 'AuthDenied', 'Check user, password and pg_hba.conf behind the reference.'],
  [
    /^42501$/,
    'AuthDenied',
    'Grant the missing privilege to the role of the connection; preflight prints the statements.',
  ],
  [/^3D000$/, 'PreconditionFailed', 'Create the database, or correct its name behind the reference.'],
  [/^(53100|53200)$/, 'unavailable', 'Free disk or memory on the server; the step goes on by itself then.'],
  [
    /^(53|57P0|58|08|XX000|40|55P03|57014|25006|72)/,
    'unavailable',
    'It is tried again by itself; look at the server when that lasts.',
  ],
  [
    /^(23|42P0[467]|42710|42723|42701)/,
    'TargetConflict',
    'Look at the named object; something other than this migration has written to it.',
  ],
];

const socketCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'ETIMEDOUT',
  'EPIPE',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ENOENT',
  'CONNECT_TIMEOUT',
]);

/**
 * Turns whatever a driver call threw into a failure of the closed set; failures of that set and cancellations come back as they are.
 * @param doing what was being done, on which object: "Copying public.orders"
 */
export function postgresFailure(error: unknown, side: Side, doing: string): Error {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  if (!(error instanceof Error) && !isNativeError(error))
    return failure('PreconditionFailed', `${doing} failed on the ${side}: ${String(error)}`);
  if (error.name === 'AbortError') return error;
  const { code, hint } = error as DriverError;
  const unavailable: FailureType = side === 'source' ? 'SourceUnavailable' : 'TargetUnavailable';
  const said = [...withoutRows(error as DriverError), hint].filter(Boolean).join(' · ');
  const fromServer = code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !socketCodes.has(code);
  if (!fromServer) {
    return failure(
      unavailable,
      `${doing} failed on the ${side}: ${said}. It is tried again by itself; check that the server runs and can be reached from the worker.`,
      { code },
    );
  }
  const row = byState.find(([pattern]) => pattern.test(code));
  const type = !row ? 'PreconditionFailed' : row[1] === 'unavailable' ? unavailable : row[1];
  const advice = row ? row[2] : 'Look at the statement that failed and retry the step.';
  return failure(type, `${doing} failed on the ${side}: ${said} (SQLSTATE ${code}). ${advice}`, { sqlState: code });
}

/** Message and detail; data and integrity errors (classes 22 and 23) quote values of rows there, which must not reach a history. */
function withoutRows({ code = '', message, detail }: DriverError): (string | undefined)[] {
  if (code.startsWith('23')) return [message];
  if (code.startsWith('22')) return [message.replace(/: ".*$/s, '')];
  return [message, detail];
}
