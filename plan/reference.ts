// How a plan names a secret without holding it: the worker resolves the reference when an activity needs it.
import { z } from 'zod';

/** The name of an environment variable of the worker, or the path of a file that the worker can read. */
export const secretReferenceSchema = z.union(
  [z.strictObject({ env: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/) }), z.strictObject({ file: z.string().min(1) })],
  {
    error:
      'expected a reference: {"env": "NAME_OF_A_VARIABLE"} or {"file": "/path/to/secret"}; a secret itself is never written in a plan',
  },
);
export type SecretReference = z.infer<typeof secretReferenceSchema>;

/** A PostgreSQL connection string (`postgresql://…` or libpq keywords), by reference. */
export const connectionReferenceSchema = secretReferenceSchema;
export type ConnectionReference = SecretReference;

/** "env SOURCE_DATABASE_URL" or "file /run/secrets/source": names the reference, never its content. */
export function describeReference(reference: SecretReference): string {
  return 'env' in reference ? `env ${reference.env}` : `file ${reference.file}`;
}
