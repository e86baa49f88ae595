// What a client tool or a command said when it failed -> the closed set of failures, with nothing secret in it.
import { failure } from '../../errors';
import type { Side } from '../errors';

const shownCharacters = 600;

/** Masks what looks like a credential: passwords in URLs, libpq's `password=`, common key names. Other secrets cannot be known. */
export function masked(text: string): string {
  return text
    .replaceAll(/(\w+:\/\/)[^/\s@]*@/g, '$1***@')
    .replaceAll(/\b(\w*(?:password|secret|token|apikey|api_key)\w*\s*[=:]\s*)("[^"]*"|'[^']*'|\S+)/gi, '$1***');
}

/** The end of an output, masked, for people. */
export function tail(text: string, characters = shownCharacters): string {
  return masked(text.trim()).slice(-characters);
}

/** pg_dump or pg_restore ended with an error. Lost connections are retryable, everything else is for people. */
export function toolFailure(tool: string, side: Side, exitCode: number, stderr: string): Error {
  const said = `${tool} failed on the ${side} with exit code ${exitCode}: ${tail(stderr) || 'it said nothing'}`;
  if (/permission denied|must be (superuser|owner)|authentication failed/i.test(stderr)) {
    return failure('AuthDenied', `${said}. Grant the role of the connection what is missing, then retry.`);
  }
  if (
    /could not (connect|translate|send|receive)|connection to server|terminating connection|server closed|connection (refused|reset)/i.test(
      stderr,
    )
  ) {
    return failure(
      side === 'source' ? 'SourceUnavailable' : 'TargetUnavailable',
      `${said}. It is tried again by itself; look at the server when that lasts.`,
    );
  }
  if (/server version mismatch|unsupported version/i.test(stderr)) {
    return failure(
      'PreconditionFailed',
      `${said}. Install client tools on the worker that are at least as new as the server, then retry.`,
    );
  }
  return failure('PreconditionFailed', `${said}. Mend what it names, then retry.`);
}
