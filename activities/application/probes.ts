// Looking at the application as its customers do: probes for the monitor, and the HTTP form of smoke tests.
import type { ValidationRecord } from '../../journal/types';
import type { SmokeTest } from '../../plan/postgres';
import { NoAnswer, sendRequest } from './request';

export interface ProbeResult {
  /** A status below 400. Redirects are not followed, and count as an answer. */
  ok: boolean;
  status?: number;
  durationMs: number;
  /** Why it is not ok, in a few words. */
  error?: string;
}

/** The form of a smoke test that asks the application; the other form asks the target. */
export type HttpSmokeTest = Extract<SmokeTest, { url: string }>;

/** GETs the URL once. Never throws, except the signal's reason when it is aborted. */
export async function probe(
  target: { name: string; url: string },
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<ProbeResult> {
  try {
    const { status, durationMs } = await sendRequest({ method: 'GET', url: target.url, timeoutMs, signal });
    return status < 400
      ? { ok: true, status, durationMs }
      : { ok: false, status, durationMs, error: `status ${status}` };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return { ok: false, durationMs: error.durationMs, error: error.message };
  }
}

/**
 * GETs the URL once and compares: the status must be the expected one, and the body, where the plan names a text,
 * must contain it. Never throws, except the signal's reason when it is aborted.
 */
export async function runHttpSmoke(
  test: HttpSmokeTest,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<ValidationRecord> {
  const name = `smoke: ${test.name}`;
  try {
    const { status, body, durationMs } = await sendRequest({ method: 'GET', url: test.url, timeoutMs, signal });
    const differences = [
      ...(status === test.expectStatus ? [] : [`status ${status}, expected ${test.expectStatus}`]),
      ...(body.includes(test.expectBody ?? '') ? [] : [`the body does not contain ${JSON.stringify(test.expectBody)}`]),
    ];
    const target = `status ${status}`;
    if (differences.length === 0) return { name, target, outcome: 'pass', durationMs };
    return { name, target, outcome: 'fail', durationMs, differences };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    const differences = [`${error.message}, expected status ${test.expectStatus}`];
    return { name, target: 'no answer', outcome: 'fail', durationMs: error.durationMs, differences };
  }
}
