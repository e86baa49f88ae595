// Every workflow type that the worker serves.
export { postgresMigration } from './postgres-migration';
