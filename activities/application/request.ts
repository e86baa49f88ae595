// One HTTP request with a time limit, a limit on what is read, and no redirects: what probes, smoke tests and admin calls share.
// Contract: an answer of any status is a result; no answer at all is a `NoAnswer`; cancellation passes untouched.

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
  const { method, url, timeoutMs, headers, json, signal } = request;
  signal?.throwIfAborted();
  const startedAt = performance.now();
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(url, {
      method,
      headers: { ...headers, ...(json === undefined ? {} : { 'content-type': 'application/json' }) },
      body: json === undefined ? undefined : JSON.stringify(json),
      redirect: 'manual',
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    const body = await readStart(response);
    return { status: response.status, body, durationMs: elapsedMs(startedAt) };
  } catch (error) {
    signal?.throwIfAborted();
    const why = timeout.aborted ? `no answer within ${timeoutMs} ms` : whyNoAnswer(error);
    throw new NoAnswer(why, elapsedMs(startedAt));
  }
}

async function readStart(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (!reader) return '';
  const parts: Uint8Array[] = [];
  let bytes = 0;
  while (bytes < bodyLimitBytes) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(parts).toString('utf8');
    parts.push(value);
    bytes += value.length;
  }
  await reader.cancel();
  return Buffer.concat(parts).subarray(0, bodyLimitBytes).toString('utf8');
}

/** fetch says only "fetch failed"; the reason is in its cause. */
function whyNoAnswer(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  const code = 'code' in cause ? String(cause.code) : '';
  return [cause.message, code]
    .filter((part, index) => part && !(index > 0 && cause.message.includes(part)))
    .join(' · ');
}

function elapsedMs(startedAt: number): number {
  return Math.round(performance.now() - startedAt);
}
