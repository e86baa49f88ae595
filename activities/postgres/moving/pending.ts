// What was still moving when validation ended: compared key by key under the fence, where nothing moves.
import type { Client } from 'pg';
import type { ValidationRecord } from '../../../journal/types';
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';

export interface Pending {
  tables: { schema: string; name: string }[];
}

/** To be called before the freeze, not in it. */
export async function readPending(_artifacts: ArtifactStore, _reference: ArtifactReference): Promise<Pending> {
  return Promise.reject(new Error('not yet'));
}

/** Compares exactly these keys. Both sides must be fenced, and the stream drained. */
export async function comparePending(
  _source: Client,
  _target: Client,
  _pending: Pending,
): Promise<{ records: ValidationRecord[]; unequal: number }> {
  return Promise.reject(new Error('not yet'));
}
