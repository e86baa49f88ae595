// A lane's own session on the target is busy with rows for as long as a chunk takes; what an operator tunes meanwhile is read
// through a second session, opened only when a chunk lasts long enough to need it.
import type { Client } from 'pg';
import type { PostgresConnections } from '../connection';
import type { PostgresScope } from '../scope';
import { readTuning, type CopyTuning } from './settings';

const everyMs = 2_000;

export class TuningWatch {
  private session?: Client;
  private busy = false;
  private readonly over = new AbortController();
  private readonly timer = setInterval(() => void this.look(), everyMs);

  constructor(
    private readonly connections: PostgresConnections,
    private readonly scope: PostgresScope,
    private readonly lane: number,
    private readonly signal: AbortSignal,
    private readonly onTuning: (tuning: CopyTuning) => void,
  ) {}

  end(): void {
    this.over.abort();
    clearInterval(this.timer);
    void this.close();
  }

  private async look(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    const { connections, scope, lane, signal } = this;
    try {
      this.session ??= await connections.open(scope.target, { side: 'target', purpose: `copy tuning ${lane}`, signal });
      this.onTuning(await readTuning(this.session));
    } catch {
      // Only a wish: the chunk goes on as it is, and the lane looks again before the next.
      await this.close();
    } finally {
      this.busy = false;
      if (this.over.signal.aborted) await this.close();
    }
  }

  private async close(): Promise<void> {
    const { session } = this;
    this.session = undefined;
    await session?.end().catch(() => undefined);
  }
}
