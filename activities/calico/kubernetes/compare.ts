// The proof of the import: every object and every node that was to be written is read back and compared field by field.
import type { KindImport, ValidationRecord } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import type { CalicoScope, Encoding } from '../scope';
import type { CheckDependencies } from './checks';

export interface CompareRequest {
  scope: CalicoScope;
  /** The export file. */
  file: ArtifactReference;
  encoding: Encoding;
  /** What was there before us: without it, everything that the file does not have counts as foreign. */
  inventory?: ArtifactReference;
}

export interface Comparison {
  /** One for each kind that the file or the target has, and one for the nodes. */
  records: ValidationRecord[];
  kinds: KindImport[];
}

export function createCompareActivities(_dependencies: CheckDependencies) {
  return {
    compareImported: (_request: CompareRequest): Promise<Comparison> => Promise.reject(new Error('not yet')),
  };
}
