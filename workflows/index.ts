// Every workflow type that the worker serves.
export { calicoMigration } from './calico-migration';
export { postgresMigration } from './postgres-migration';
export { slotGuardian } from './slot-guardian';
