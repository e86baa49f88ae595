// What a reference in a plan stands for: read on the worker at the moment it is needed, kept nowhere.
import { readFile } from 'node:fs/promises';
import { describeReference, type SecretReference } from '../plan/reference';
import { failure } from './errors';

/** Reads what a reference stands for. @throws PreconditionFailed when the variable or file is missing or empty; never shows the content. */
export async function resolveSecret(
  reference: SecretReference,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const what = describeReference(reference);
  const text = 'env' in reference ? environment[reference.env] : await readSecretFile(reference.file, what);
  if (!text?.trim()) {
    throw failure(
      'PreconditionFailed',
      `The secret in ${what} is not set on the worker. Set it on every worker, restart the worker and retry.`,
    );
  }
  return text.trim();
}

async function readSecretFile(path: string, what: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw failure(
      'PreconditionFailed',
      `The secret in ${what} cannot be read by the worker: ${code}. Mount it on every worker and retry.`,
    );
  });
}
