// One HTTP request with a time limit, a limit on what is read, and no redirects: what probes, smoke tests and admin calls share.
// Contract: an answer of any status is a result; no answer at all is a `NoAnswer`; cancellation passes untouched.
import http from 'node:http';
import https from 'node:https';

const bodyLimitBytes = 64 * 1024;

export interface HttpRequest {
  method: 'GET' | 'POST';
  url: string;
  /** For the whole request, the body of the answer included. */
  timeoutMs: number;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  json?: unknown;
  /** Aborted when the answer is no longer wanted; its reason is thrown. */
  signal?: AbortSignal;
}

export interface HttpAnswer {
  status: number;
  /** The first 64 KiB, as UTF-8. */
  body: string;
  durationMs: number;
}

/** The server did not answer in time, or could not be reached. The message says why, without URL and headers. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
  constructor(
    why: string,
    /** Milliseconds until that was known. */
    readonly durationMs: number,
  ) {
    super(why);
  }
}

/** Sends one request, once. @throws NoAnswer; the signal's reason when it is aborted */
export async function sendRequest(request: HttpRequest): Promise<HttpAnswer> {
  const { timeoutMs, signal } = request;
  signal?.throwIfAborted();
  const startedAt = performance.now();
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const { status, body } = await exchange(request, signal ? AbortSignal.any([signal, timeout]) : timeout);
    return { status, body, durationMs: elapsedMs(startedAt) };
  } catch (error) {
    signal?.throwIfAborted();
    const why = timeout.aborted ? `no answer within ${timeoutMs} ms` : whyNoAnswer(error);
    throw new NoAnswer(why, elapsedMs(startedAt));
  }
}

/**
 * Over a connection of its own: one kept from the last call may be dead by now, and would look like an application
 * that does not answer. (fetch cannot promise that: after a timeout its pool connects ahead and keeps the connection.)
 */
async function exchange(
  { method, url, headers, json }: HttpRequest,
  signal: AbortSignal,
): Promise<{ status: number; body: string }> {
  const content = json === undefined ? undefined : JSON.stringify(json);
  const outgoing = (url.startsWith('https:') ? https : http).request(url, {
    method,
    agent: false,
    signal,
    headers: {
      ...headers,
      ...(content === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) }),
    },
  });
  const incoming = new Promise<http.IncomingMessage>((resolve, reject) => {
    outgoing.once('response', resolve);
    // Stays for the time after the answer has begun, when reading it reports the same.
    outgoing.on('error', reject);
  });
  outgoing.end(content);
  const response = await incoming;
  return { status: response.statusCode ?? 0, body: await readStart(response) };
}

async function readStart(response: http.IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    parts.push(part);
    bytes += part.length;
    if (bytes >= bodyLimitBytes) break;
  }
  return Buffer.concat(parts).subarray(0, bodyLimitBytes).toString('utf8');
}

/** Of a name with several addresses, the error holds one for each and says nothing itself. */
function whyNoAnswer(error: unknown): string {
  const { message, code, errors } = partsOf(error);
  if (Array.isArray(errors) && errors.length > 0) return whyNoAnswer(errors[0]);
  const said = typeof message === 'string' && message ? message : 'unknown reason';
  return typeof code === 'string' && !said.includes(code) ? `${said} · ${code}` : said;
}

function partsOf(error: unknown): { message?: unknown; code?: unknown; errors?: unknown } {
  return error !== null && typeof error === 'object' ? error : {};
}

function elapsedMs(startedAt: number): number {
  return Math.round(performance.now() - startedAt);
}
