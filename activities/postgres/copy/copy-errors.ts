// Failures of a copy, told with the table and without its content: what PostgreSQL says of a refused row quotes the row.
import { postgresFailure, type Side } from '../errors';
import { StreamError } from './copy-stream';

/** Awaits a call on one side, so that its failure is known to be that side's. @throws StreamError */
export async function on<Result>(side: Side, call: Promise<Result>): Promise<Result> {
  try {
    return await call;
  } catch (error) {
    throw error instanceof Error ? new StreamError(side, error) : error;
  }
}

/** `doing`: "Copying public.orders". Whatever does not say its side happened on the target. */
export function copyFailure(error: unknown, doing: string): Error {
  if (error instanceof StreamError) return postgresFailure(withoutContent(error.error), error.side, doing);
  return postgresFailure(error instanceof Error ? withoutContent(error) : error, 'target', doing);
}

interface ServerError extends Error {
  code?: string;
  detail?: string;
  where?: string;
}

function withoutContent(error: ServerError): ServerError {
  const { code } = error;
  if (!code || !/^(22|23)/.test(code)) return error;
  const place = /^COPY .*?, line \d+(, column "?[^":]+"?)?/.exec(error.where ?? '')?.[0];
  const said = code.startsWith('22') ? 'a value was refused' : error.message;
  return Object.assign(new Error(place ? `${said} (${place})` : said), { code });
}
