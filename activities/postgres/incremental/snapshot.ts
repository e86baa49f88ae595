// The moment as of which a table is read: its own, or one for all tables that a session reads.
import type { Client } from 'pg';
import { on } from '../copy/copy-errors';
import { readSince } from './mark';

const beginSql = 'begin transaction isolation level repeatable read, read only';

export interface Snapshot {
  /** Before a table is read. Gives the begin of the oldest transaction that was open by then; undefined where it cannot be known. */
  take(): Promise<string | undefined>;
  /** After a table was read: its lock on the source must not last for longer. */
  letGo(): Promise<void>;
}

export class OwnSnapshot implements Snapshot {
  constructor(private readonly source: Client) {}

  async take(): Promise<string | undefined> {
    const since = await readSince(this.source);
    await on('source', this.source.query(beginSql));
    return since;
  }

  async letGo(): Promise<void> {
    await on('source', this.source.query('commit'));
  }
}

/** Lasts as long as the session. */
export class SharedSnapshot implements Snapshot {
  private taken?: Promise<string | undefined>;

  constructor(private readonly source: Client) {}

  async take(): Promise<string | undefined> {
    this.taken ??= new OwnSnapshot(this.source).take();
    const since = await this.taken;
    await on('source', this.source.query('savepoint cutover_table'));
    return since;
  }

  async letGo(): Promise<void> {
    // The rollback lets the lock go; released, the savepoints of thousands of tables are not stacked on each other.
    await on('source', this.source.query('rollback to savepoint cutover_table; release savepoint cutover_table'));
  }
}
