// Everything the worker takes from its environment, in one place.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { artifactStoreFor } from '../activities/artifacts';
import type { NativeConnectionOptions } from '@temporalio/worker';

export interface WorkerConfig {
  /** From the Temporal conventions: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_PROFILE, TLS, API key. */
  connection: NativeConnectionOptions;
  namespace: string;
  /** `file:///directory` or `s3://bucket/prefix` under which artifacts are kept; how S3 is reached is in AWS_* and CUTOVER_S3_ENDPOINT. */
  artifacts: string;
  logLevel: string;
  /** `127.0.0.1:9464` serves Prometheus metrics there; without it there are none. */
  metricsAddress?: string;
  /** How many activities this process runs at once. */
  maxActivities: number;
}

/** What a person set is wrong: the process ends with exit code 2, before anything is connected. */
export class WrongConfiguration extends Error {
  override readonly name = 'WrongConfiguration';
}

/** @throws WrongConfiguration that names the variable, what was found and what was expected */
export function readConfig(environment: NodeJS.ProcessEnv): WorkerConfig {
  const { connectionOptions, namespace } = loadClientConnectConfig({ overrideEnvVars: definedOnly(environment) });
  const { address, tls, apiKey, metadata } = connectionOptions;
  return {
    connection: {
      address: address ?? '127.0.0.1:7233',
      tls,
      apiKey: typeof apiKey === 'string' ? apiKey : undefined,
      metadata,
    },
    namespace: namespace ?? 'default',
    artifacts: artifactsUrl(environment),
    logLevel: oneOf('CUTOVER_LOG_LEVEL', environment.CUTOVER_LOG_LEVEL ?? 'info', [
      'trace',
      'debug',
      'info',
      'warn',
      'error',
      'silent',
    ]),
    metricsAddress: environment.CUTOVER_METRICS_ADDRESS,
    maxActivities: wholeNumber('CUTOVER_MAX_ACTIVITIES', environment.CUTOVER_MAX_ACTIVITIES ?? '64'),
  };
}

function artifactsUrl(environment: NodeJS.ProcessEnv): string {
  const url = environment.CUTOVER_ARTIFACTS ?? pathToFileURL(resolve('.cutover', 'artifacts')).href;
  try {
    artifactStoreFor(url, environment);
    return url;
  } catch (error) {
    throw new WrongConfiguration(error instanceof Error ? error.message : String(error));
  }
}

function oneOf(name: string, found: string, expected: string[]): string {
  if (expected.includes(found)) return found;
  throw new WrongConfiguration(`${name} is "${found}", expected one of ${expected.join(', ')}`);
}

function wholeNumber(name: string, found: string): number {
  if (/^[1-9]\d*$/.test(found)) return Number(found);
  throw new WrongConfiguration(`${name} is "${found}", expected a whole number from 1`);
}

function definedOnly(environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
}
