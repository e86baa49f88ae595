// SQLSTATE and socket errors -> the closed set of failures. Cancellation always passes untouched.
import { isNativeError } from 'node:util/types';
import { CancelledFailure, ApplicationFailure } from '@temporalio/common';
import { failure, type FailureType } from '../errors';

export type Side = 'source' | 'target' | 'scratch';

interface DriverError extends Error {
  code?: string;
  detail?: string;
  hint?: string;
  where?: string;
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
  const { code } = error as DriverError;
  const unavailable: FailureType = side === 'source' ? 'SourceUnavailable' : 'TargetUnavailable';
  const said = withoutRows(error);
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

/** Messages of class 22 quote the value; these stand in for them. */
const dataErrors: Record<string, string> = {
  '22001': 'a value is too long for its type',
  '22003': 'a number is out of range for its type',
  '22004': 'a null where none is allowed',
  '22007': 'text that is no date or time',
  '22008': 'a date or time is out of range',
  '22012': 'division by zero',
  '22021': 'bytes that are not valid in the encoding of the database',
  '22023': 'a value that its function does not take',
  '22P02': 'text that is not valid for its type',
  '22P03': 'bytes that are not valid for their type',
  '22P04': 'the stream of the copy is malformed',
  '22P05': 'a character that the other encoding does not have',
};

/**
 * What PostgreSQL said, without values of rows: data and integrity errors (classes 22 and 23) quote them in message, detail and hint.
 * Of the context only the place is told: the function, or line and column of a COPY.
 */
export function withoutRows({ code = '', message, detail, hint, where = '' }: DriverError): string {
  if (/^2[23]/.test(code)) {
    const said = code.startsWith('22') ? (dataErrors[code] ?? 'a value was refused') : message;
    const place = /^COPY .*?, line \d+(, column "?[^":]+"?)?/.exec(where)?.[0];
    return place ? `${said} (${place})` : said;
  }
  const place = /^(PL\/pgSQL|SQL) function .*/.exec(where)?.[0];
  return [message, detail, hint, place && `in ${place}`].filter(Boolean).join(' · ');
}
