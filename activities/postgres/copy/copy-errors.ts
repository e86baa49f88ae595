// Failures of a copy, told with the table and the side on which they happened.
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
  if (error instanceof StreamError) return postgresFailure(error.error, error.side, doing);
  return postgresFailure(error, 'target', doing);
}
