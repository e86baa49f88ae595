// Where every key of the source ended, and why. The accounting is counted from this list alone, so that its sums cannot be wrong.
import type { CalicoAccounting } from '../../../journal/types';

/** Why something is not migrated, for those who may accept it. */
export type RefusalCategory =
  | 'unparseable'
  | 'user-profile'
  | 'node-without-kubernetes-node'
  | 'inexpressible-name'
  | 'node-status'
  | 'unknown'
  | 'collision'
  | 'missing-tier'
  | 'not-served';

export interface Disposition {
  key: string;
  kind: string;
  fate: 'migrated' | 'derived' | 'refused';
  /** Set for what is derived or refused. */
  reason?: string;
  /** Set for what is refused. */
  category?: RefusalCategory;
}

/** The accounting of these dispositions; lists hold the first fifty. */
export function accountFor(
  _revision: string,
  _dispositions: readonly Disposition[],
  _remarks: readonly string[],
): CalicoAccounting {
  throw new Error('not yet');
}
