// Incremental: copied live, then brought up in passes until what is left fits into the freeze. For sources that cannot be streamed from.
// A freeze that runs out of time costs the freeze alone: the copy stays, another pass is made, and the gate opens again.
import { copyLive } from '../phases/postgres/passes/copy-live';
import { finishUnderFence, openTarget } from '../phases/postgres/passes/finish';
import { newPassMigration, type PassMigration } from '../phases/postgres/passes/migration';
import { lastLook, makeReady, passesEvidence, passingBeside } from '../phases/postgres/passes/ready';
import { repairRows } from '../phases/postgres/passes/repair';
import type { PostgresMigration } from '../phases/postgres/migration';
import type { Strategy } from './strategy';

export class Incremental implements Strategy {
  readonly lasting = true;
  private readonly migration: PassMigration;
  private live = false;

  constructor(migration: PostgresMigration) {
    this.migration = newPassMigration(migration);
    this.migration.repairRows = (compared) => repairRows(this.migration, compared);
  }

  async beforeFence(): Promise<void> {
    if (!this.live) await copyLive(this.migration);
    this.live = true;
    await makeReady(this.migration);
  }

  evidence(): string[] {
    return passesEvidence(this.migration);
  }

  async atGate(openGate: () => Promise<void>): Promise<void> {
    await passingBeside(this.migration, openGate);
    await lastLook(this.migration);
  }

  underFence(): Promise<void> {
    return finishUnderFence(this.migration);
  }

  openTarget(): Promise<void> {
    return openTarget(this.migration);
  }
}
