// The kind `rds`: a snapshot by the service in which the source lives. Nothing of it passes through the worker.
export { describeSubject, openRds, type RdsSubject } from './api';
export {
  takeRdsSnapshot,
  type RdsContext,
  type RdsOccasion,
  type RdsProgress,
  type RdsSnapshotReference,
} from './take';
export { verifyRdsSnapshot } from './verify';
