// The story of `--strategy dual-write`: the shop writes to both sides, some repeats are lost on purpose, the reconciler finds and mends what they
// left, and the sides change places while the shop goes on. The old side gets the repeats then, and is looked up before that ends.
import { setTimeout as sleep } from 'node:timers/promises';
import pc from 'picocolors';
import type { GateRecord } from '../../journal/types';
import type { MigrationStatus } from '../../workflows/messages';
import type { LedgerComparison } from '../application/compare-ledger';
import type { RunningApplication } from '../application/server';
import { copyHasBegun, type Story } from './follow';
import { administer, compareOn, sayLedger } from './ledger';
import type { Say } from './narrator';

/** Enough that a few rounds find something, few enough that most writes arrive. */
const faults = { failRepeatsPercent: 5, lateRepeatsPercent: 5, lateMs: 150, seed: 42 };
/** Seconds' worth of writes that are made on the new side before the old one is let go. */
const secondsOfWrites = 5;

export class DualWriteStory implements Story {
  readonly interactive: boolean;
  /** The source, which got the repeats after the switch, looked up before they end. Undefined until then. */
  onSource?: LedgerComparison;
  private mended = false;
  private dualWriting = false;
  private killed = false;

  constructor(
    private readonly say: Say,
    private readonly application: RunningApplication,
    private readonly options: { rate: number; sourceUrl: string; interactive: boolean },
    private readonly killWorker?: () => Promise<void>,
  ) {
    this.interactive = options.interactive;
  }

  /** Before the migration begins: from the first repeat on some are lost, as in a network that is no good. */
  async prepare(): Promise<void> {
    const { failRepeatsPercent, lateRepeatsPercent, lateMs } = faults;
    await administer(this.application, 'faults', faults);
    this.say(
      `  Asked of the application: ${failRepeatsPercent} % of its repeats on the other side are lost, and ${lateRepeatsPercent} % come ${lateMs} ms late`,
    );
  }

  async onStatus(status: MigrationStatus): Promise<void> {
    const { enabled } = this.application.status().dualWrite;
    if (enabled !== this.dualWriting) {
      this.dualWriting = enabled;
      this.say(
        enabled
          ? pc.bold('  From now on each write goes to the active side, and then to the other one with the same ids')
          : `  The shop writes to the ${this.application.status().active} alone again`,
      );
    }
    if (this.interactive && !this.mended && isRepairAsked(status)) await this.mendNetwork();
    if (this.killWorker && !this.killed && copyHasBegun(status)) {
      this.killed = true;
      await this.killWorker();
    }
  }

  async beforeApproval(gate: GateRecord): Promise<void> {
    if (gate.name === 'repair') await this.mendNetwork();
    if (gate.name === 'cutover') {
      this.say('  Both sides are equal, round after round. No maintenance mode now: the sides just change places.');
    }
    if (gate.name !== 'accept') return;
    await this.someWrites();
    this.say('  Accepting ends the repeats. Before that: does the old side, which only gets those, have everything?');
    this.onSource = await compareOn(this.options.sourceUrl, this.application);
    sayLedger(this.say, 'the source', this.onSource);
  }

  private async mendNetwork(): Promise<void> {
    if (this.mended) {
      this.say(
        '  No repeat was lost since the network was mended: these rows are from the time while both sides were compared.',
      );
      return;
    }
    this.mended = true;
    await administer(this.application, 'faults', {});
    const { repeated, failedRepeats } = this.application.status().dualWrite;
    this.say(
      `  ${repeated} writes were repeated, and ${failedRepeats} were lost on the way. Nobody who bought something noticed.`,
    );
    this.say('  The network is mended; then what the lost ones left behind is repaired, row by row as listed.');
  }

  private async someWrites(): Promise<void> {
    const before = this.application.status().acknowledged;
    const wanted = before + this.options.rate * secondsOfWrites;
    const until = performance.now() + 6 * secondsOfWrites * 1_000;
    while (this.application.status().acknowledged < wanted && performance.now() < until) await sleep(100);
    this.say(`  ${this.application.status().acknowledged - before} writes made on the new side meanwhile.`);
  }
}

function isRepairAsked({ gates }: MigrationStatus): boolean {
  return gates.some(({ name, state }) => name === 'repair' && state === 'open');
}
