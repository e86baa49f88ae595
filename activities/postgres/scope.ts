// What nearly every PostgreSQL activity must know: which migration it works for, on which two databases, on which tables.
import type { TableSelection } from '../../plan/postgres';
import type { ConnectionReference } from '../../plan/reference';

export interface PostgresScope {
  /** Workflow id: names and owns everything that the migration creates. */
  migration: string;
  source: ConnectionReference;
  target: ConnectionReference;
  tables: TableSelection;
  /** How the two servers reach each other, where that is not how the worker reaches them. */
  links?: { sourceFromTarget?: ConnectionReference; targetFromSource?: ConnectionReference };
}

/** The schema on the target that holds the ledger: copy progress, exactly-once marks, former state. */
export const ledgerSchema = 'cutover';
