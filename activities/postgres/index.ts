// The PostgreSQL activities, composed.
import type { PostgresDependencies } from '../dependencies';
import { createCopyActivities } from './copy';
import { createAnalyzeActivities } from './analyze';
import { createBaselineActivities } from './baseline';
import { createFingerprintActivities } from './ddl/fingerprint';
import { createGuardActivities } from './ddl/guard';
import { createDigestActivities } from './digest';
import { createDualWriteActivities } from './dual-write';
import { createFenceActivities } from './fence';
import { createFidelityActivities } from './fidelity';
import { createIdentifyActivities } from './identify';
import { createIncrementalActivities } from './incremental';
import { createLargeObjectActivities } from './large-objects';
import { createLeftoverActivities } from './leftovers';
import { createLossActivities } from './loss';
import { createMonitorActivities } from './monitor';
import { createMovingActivities } from './moving';
import { createPreflightActivities } from './preflight';
import { createRehearsalActivities } from './rehearsal';
import { createRetireActivities } from './retire';
import { createRoleActivities } from './roles';
import { createSchemaActivities } from './schema';
import { createSequenceActivities } from './sequences';
import { createSnapshotActivities } from './snapshot';
import { createStreamActivities } from './stream';
import { createGroupActivities } from './stream/groups';
import { createHolderActivities } from './stream/holder';
import { createStreamPreparationActivities } from './stream/prepare';
import { createUnloggedActivities } from './stream/unlogged';
import { createCarryActivities } from './stream/carry';
import { createFreezeActivities } from './stream/freeze';
import { createHotActivities } from './stream/hot';
import { createSlotGuardActivities } from './stream/guard-slots';
import { createTransformActivities } from './transform';
import { createValidationActivities } from './validate';

export function createPostgresActivities(dependencies: PostgresDependencies) {
  return {
    ...createIdentifyActivities(dependencies),
    ...createPreflightActivities(dependencies),
    ...createBaselineActivities(dependencies),
    ...createRoleActivities(dependencies),
    ...createSnapshotActivities(dependencies),
    ...createRehearsalActivities(dependencies),
    ...createSchemaActivities(dependencies),
    ...createFenceActivities(dependencies),
    ...createCopyActivities(dependencies),
    ...createSequenceActivities(dependencies),
    ...createLargeObjectActivities(dependencies),
    ...createAnalyzeActivities(dependencies),
    ...createDigestActivities(dependencies),
    ...createFidelityActivities(dependencies),
    ...createFingerprintActivities(dependencies),
    ...createGuardActivities(dependencies),
    ...createMovingActivities(dependencies),
    ...createValidationActivities(dependencies),
    ...createMonitorActivities(dependencies),
    ...createLossActivities(dependencies),
    ...createLeftoverActivities(dependencies),
    ...createRetireActivities(dependencies),
    ...createStreamPreparationActivities(dependencies),
    ...createStreamActivities(dependencies),
    ...createGroupActivities(dependencies),
    ...createHolderActivities(dependencies),
    ...createUnloggedActivities(dependencies),
    ...createFreezeActivities(dependencies),
    ...createCarryActivities(dependencies),
    ...createHotActivities(dependencies),
    ...createSlotGuardActivities(dependencies),
    ...createDualWriteActivities(dependencies),
    ...createIncrementalActivities(dependencies),
    ...createTransformActivities(dependencies),
  };
}
