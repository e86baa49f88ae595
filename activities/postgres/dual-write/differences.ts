// What the reconciler has found, as a file: the keys of rows that differ, for the repair. Keys only, never rows.
import { z } from 'zod';
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';

export const differencesFile = 'differences.json';

const schema = z.array(
  z.object({
    schema: z.string(),
    name: z.string(),
    /** JSON arrays of text, one for each row. */
    keys: z.array(z.string()),
  }),
);
export type Differences = z.infer<typeof schema>;

export async function writeDifferences(
  artifacts: ArtifactStore,
  migration: string,
  differences: Differences,
): Promise<ArtifactReference> {
  return artifacts.put(migration, differencesFile, JSON.stringify(differences));
}

/** @throws VerificationMismatch, ArtifactStoreUnavailable */
export async function readDifferences(artifacts: ArtifactStore, reference: ArtifactReference): Promise<Differences> {
  return schema.parse(JSON.parse(await artifacts.read(reference)));
}
