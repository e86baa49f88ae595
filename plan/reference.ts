// How a plan names a secret without holding it: the worker resolves the reference when an activity needs it.
import { z } from 'zod';

const env = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/);
const file = z.string().min(1);
const error =
  'expected a reference: {"env": "NAME_OF_A_VARIABLE"} or {"file": "/path/to/secret"}; a secret itself is never written in a plan';

/** The name of an environment variable of the worker, or the path of a file that the worker can read. */
export const secretReferenceSchema = z.union([z.strictObject({ env }), z.strictObject({ file })], { error });
export type SecretReference = z.infer<typeof secretReferenceSchema>;

/**
 * The server that a reference must lead to, whichever worker reads it and whenever: every session asks, and ends where it came out elsewhere.
 * `system_identifier` of `pg_control_system()`.
 */
const system = z
  .string()
  .regex(/^\d{1,20}$/)
  .optional();

/** A PostgreSQL connection string (`postgresql://…` or libpq keywords), by reference. */
export const connectionReferenceSchema = z.union([z.strictObject({ env, system }), z.strictObject({ file, system })], {
  error,
});
export type ConnectionReference = z.infer<typeof connectionReferenceSchema>;

/** "env SOURCE_DATABASE_URL" or "file /run/secrets/source": names the reference, never its content. */
export function describeReference(reference: SecretReference): string {
  return 'env' in reference ? `env ${reference.env}` : `file ${reference.file}`;
}
