// What the schema of one side is, one line an object, so that a change of it while rows stream is noticed: streams carry no DDL.
// A fingerprint is only ever compared with a later one of the same database.
import type { ClientBase } from 'pg';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import type { PostgresScope } from '../scope';

/** The schema of the database, sorted, one line an object. */
export async function readFingerprint(_client: ClientBase): Promise<string[]> {
  throw new Error('not yet');
}

/** The lines of an artifact made by `fingerprintSchema`. */
export function fingerprintLines(_text: string): string[] {
  throw new Error('not yet');
}

/**
 * What has changed since `lines` were read on the same database: `- ` and the former line, `+ ` and the present one; the first twenty,
 * then one line that says how many more. Empty when nothing has. One query.
 */
export async function schemaChanges(_client: ClientBase, _lines: readonly string[]): Promise<string[]> {
  throw new Error('not yet');
}

export function createFingerprintActivities(_dependencies: PostgresDependencies) {
  return {
    /** Reads the schema of one side and keeps it as an artifact. Changes nothing. @throws SourceUnavailable, TargetUnavailable (retryable) */
    async fingerprintSchema(_request: {
      scope: PostgresScope;
      side: 'source' | 'target';
    }): Promise<{ artifact: ArtifactReference; objects: number }> {
      throw new Error('not yet');
    },
  };
}
