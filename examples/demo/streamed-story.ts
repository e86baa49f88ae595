// The story of `--strategy cdc`: switched under load, taken back after writes on the new side, forward once more without a fresh copy, accepted.
// The way back is no exercise in the middle of the copy here but the real one, after the switch: it loses nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import pc from 'picocolors';
import type { GateRecord, HandOverRecord } from '../../journal/types';
import type { MigrationStatus } from '../../workflows/messages';
import type { LedgerComparison } from '../application/compare-ledger';
import type { RunningApplication } from '../application/server';
import { copyHasBegun, type Move, type Story } from './follow';
import { compareOn, sayLedger } from './ledger';
import type { Say } from './narrator';

/** Seconds' worth of writes that are made on a side before it is left again. */
const secondsOfWrites = 5;
/** For the newest writes to arrive on the side that follows. */
const followsWithinMs = 20_000;

export class StreamedStory implements Story {
  readonly interactive: boolean;
  /** The source, having followed, looked up before the streams end. Undefined until then. */
  onSource?: LedgerComparison;
  private goneBack = false;
  private killed = false;

  constructor(
    private readonly say: Say,
    private readonly application: RunningApplication,
    private readonly options: { rate: number; sourceUrl: string; interactive: boolean },
    private readonly killWorker?: () => Promise<void>,
  ) {
    this.interactive = options.interactive;
  }

  async onStatus(status: MigrationStatus, move: Move): Promise<void> {
    if (this.killWorker && !this.killed && copyHasBegun(status)) {
      this.killed = true;
      await this.killWorker();
    }
    if (this.interactive || this.goneBack || !isWatchingTarget(status)) return;
    this.goneBack = true;
    await this.someWrites('new');
    await move.rollBack('checkout looks wrong on the new side');
    this.say(pc.dim('  No words are asked for: the source has followed all the while, so nothing is lost.'));
  }

  async beforeApproval(gate: GateRecord, status: MigrationStatus): Promise<void> {
    if (gate.name === 'cutover' && switched(status).length > 0) {
      this.say('  Writes go to the old side again, and the new one follows it: no fresh copy is needed to go forward.');
      await this.someWrites('old');
    }
    if (gate.name !== 'accept') return;
    this.say(
      '\n  Accepting ends the streams. Before that: does the old side, which has only followed, have everything?',
    );
    this.onSource = await compareOn(this.options.sourceUrl, this.application, followsWithinMs);
    sayLedger(this.say, 'the source', this.onSource);
  }

  private async someWrites(side: 'old' | 'new'): Promise<void> {
    const before = this.application.status().acknowledged;
    const wanted = before + this.options.rate * secondsOfWrites;
    const until = performance.now() + 6 * secondsOfWrites * 1_000;
    while (this.application.status().acknowledged < wanted && performance.now() < until) await sleep(100);
    this.say(`  ${this.application.status().acknowledged - before} writes made on the ${side} side meanwhile.`);
  }
}

/** Hand-overs that reached the other side. */
export function switched({ handOvers = [] }: MigrationStatus): HandOverRecord[] {
  return handOvers.filter(({ outcome }) => outcome === 'switched');
}

function isWatchingTarget(status: MigrationStatus): boolean {
  return status.phase === 'monitor' && switched(status).length === 1;
}
