// What the service says of a snapshot afterwards. That it restores is known only when it was restored, and this says so.
import type { RdsSnapshot } from '../../../../plan/postgres';
import { failure } from '../../../errors';
import { openRds } from './api';
import type { RdsContext, RdsSnapshotReference } from './take';

/**
 * Status, engine, size and encryption as the service has them now. A restore is not tried, and the evidence says so.
 * @throws VerificationMismatch when it is gone or no longer available; otherwise as `takeRdsSnapshot`
 */
export async function verifyRdsSnapshot(
  snapshot: RdsSnapshot,
  taken: RdsSnapshotReference | undefined,
  { environment, signal }: Pick<RdsContext, 'environment' | 'signal'>,
): Promise<string[]> {
  if (!taken) throw failure('PreconditionFailed', 'The snapshot to verify has no name. Take the snapshot again.');
  const service = await openRds(snapshot, environment, signal);
  try {
    const found = await service.asked(`Looking at the snapshot ${taken.id}`, service.calls.actions.list, ({ find }) =>
      find(taken.id, signal),
    );
    if (found?.status !== 'available')
      throw failure(
        'VerificationMismatch',
        `The snapshot ${taken.id} of the RDS ${service.words} is ${found ? found.status : 'gone'}. Take the snapshot again; do not go on without one that is available.`,
      );
    const size = found.allocatedGigabytes === undefined ? 'size not told' : `${found.allocatedGigabytes} GB allocated`;
    return [
      `snapshot ${found.id} of the RDS ${service.words} is available: ${found.engine} ${found.engineVersion}, ${size}, ${found.encrypted ? 'encrypted' : 'NOT encrypted'}`,
      'a restore was not tried: only the commands of the report, run beside the source, prove that it restores',
    ];
  } finally {
    service.close();
  }
}
