// The error rate as the monitoring of the application knows it: one instant query, whose answer is one number or no answer at all.
// Contract: what is not one finite number could not be looked at, and is never fine; the token is in no message.
import { z } from 'zod';
import type { PrometheusTrigger } from '../../plan/triggers';
import { failureType } from '../errors';
import { resolveSecret } from '../secret';
import { NoAnswer, sendRequest } from './request';

export type PrometheusAnswer = { value: number } | { error: string };

const timeoutMs = 10_000;

/** `[seconds since 1970, "value"]`. */
const sampleSchema = z.tuple([z.number(), z.string()]);
const answerSchema = z.object({
  data: z.discriminatedUnion('resultType', [
    z.object({ resultType: z.literal('scalar'), result: sampleSchema }),
    z.object({ resultType: z.literal('vector'), result: z.array(z.object({ value: sampleSchema })) }),
  ]),
});

/** Asks once. Never throws, except the signal's reason when it is aborted. */
export async function askPrometheus(
  trigger: Pick<PrometheusTrigger, 'url' | 'query' | 'token'>,
  { environment, signal }: { environment?: NodeJS.ProcessEnv; signal?: AbortSignal },
): Promise<PrometheusAnswer> {
  try {
    const token = trigger.token && (await resolveSecret(trigger.token, environment));
    const { status, body } = await sendRequest({
      method: 'GET',
      url: queryUrl(trigger),
      timeoutMs,
      headers: { accept: 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      signal,
    });
    return status === 200 ? numberIn(body) : { error: `Prometheus answered with status ${status}` };
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof NoAnswer) return { error: `Prometheus: ${error.message}` };
    if (failureType(error) && error instanceof Error) return { error: error.message };
    throw error;
  }
}

function queryUrl({ url, query }: Pick<PrometheusTrigger, 'url' | 'query'>): string {
  const address = new URL(url);
  address.pathname = `${address.pathname.replace(/\/+$/, '')}/api/v1/query`;
  address.searchParams.set('query', query);
  return address.href;
}

function numberIn(body: string): PrometheusAnswer {
  const answer = answerSchema.safeParse(parsed(body));
  if (!answer.success) return { error: 'Prometheus gave neither a scalar nor a vector' };
  const { data } = answer.data;
  const samples = data.resultType === 'scalar' ? [data.result] : data.result.map(({ value }) => value);
  const [sample] = samples;
  if (!sample || samples.length > 1)
    return { error: `the Prometheus query gave ${samples.length} samples, expected one` };
  const value = Number(sample[1]);
  return Number.isFinite(value) ? { value } : { error: `the Prometheus query gave ${sample[1]}, which is no number` };
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
