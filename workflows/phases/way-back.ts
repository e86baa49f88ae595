// A rollback after the point of no return loses what was written since: the operator is told how much, and must say so in words.
import { condition } from '@temporalio/workflow';
import { refuse } from '../handlers';
import { describeFailure } from '../logbook';
import type { RollbackRequest } from '../messages';
import type { Migration } from './migration';

/** Words older than this were said of other figures. */
const freshMs = 10 * 60_000;

/** What going back would lose, as just measured; the phase that measures also notes it in the journal's `loss`. */
export interface Loss {
  words: string;
  detail: string[];
}

/** Answers rollback requests while the migration goes on watching the target. */
export class WayBack {
  private readonly asked: RollbackRequest[] = [];

  /** @param since one clause on why there is something to lose: "the target has taken writes since the switch" */
  constructor(
    private readonly migration: Migration,
    private readonly measure: () => Promise<Loss>,
    private readonly since: string,
  ) {}

  request(request: RollbackRequest): void {
    this.asked.push(request);
  }

  /** Runs beside the main path until the words were said. */
  async answerRequests(): Promise<void> {
    const { runbook } = this.migration;
    for (;;) {
      await condition(() => this.asked.length > 0);
      const request = this.asked.shift();
      if (!request) continue;
      const { by, reason, words } = request;
      // It came while another was measured, and the migration has come to its end meanwhile.
      if (runbook.ending) {
        refuse(runbook.journal, 'rollback', 'the migration is going back or ending already', by);
        runbook.show();
        continue;
      }
      const { loss } = runbook.journal;
      if (loss && words?.trim() === loss.words && runbook.now().getTime() - Date.parse(loss.measuredAt) < freshMs) {
        runbook.ending = true;
        loss.acceptedAt = runbook.now().toISOString();
        runbook.interrupt('way-back', `rollback asked for by ${by}: ${reason}; accepted to ${loss.words}`);
        return;
      }
      refuse(runbook.journal, 'rollback', await this.askForWords(words), by);
      runbook.show();
    }
  }

  private async askForWords(said?: string): Promise<string> {
    try {
      const { words, detail } = await this.measure();
      const wrong = said === undefined ? '' : 'the words were not those of a measurement of the last ten minutes; ';
      return `${wrong}${this.since} (${detail[0] ?? 'none counted'}); to go back without them send rollback with "words": "${words}"`;
    } catch (error) {
      return `what would be lost could not be measured: ${describeFailure(error)}; send rollback again when the target can be reached`;
    }
  }
}
