// Sessions opened before an outage for what will be done in it: opening one takes longer than most of what is then done.
// Only a saving of time: whoever finds none, or finds that one was lost while it waited, opens one of its own.
import type { Client } from 'pg';

/** Longer than the way from the last look to the switch; nobody wonders for long what they are in pg_stat_activity. Milliseconds. */
export const waitMs = 20_000;

/** Of one process, by address and credentials. */
export class WaitingSessions {
  private readonly waiting = new Map<string, Map<Client, NodeJS.Timeout>>();

  /** Keeps an open session for whoever takes it in time; then it is ended. */
  add(key: string, client: Client): void {
    const there = this.waiting.get(key) ?? new Map<Client, NodeJS.Timeout>();
    const timer = setTimeout(() => {
      there.delete(client);
      void client.end().catch(() => undefined);
    }, waitMs).unref();
    this.waiting.set(key, there.set(client, timer));
  }

  count(key: string): number {
    return this.waiting.get(key)?.size ?? 0;
  }

  take(key: string): Client | undefined {
    const there = this.waiting.get(key);
    const [first] = there ?? [];
    if (!there || !first) return undefined;
    const [client, timer] = first;
    clearTimeout(timer);
    there.delete(client);
    return client;
  }

  /** Ends those that nobody will take. */
  async end(key: string): Promise<void> {
    const ending: Promise<void>[] = [];
    for (let client = this.take(key); client; client = this.take(key)) ending.push(client.end());
    await Promise.allSettled(ending);
  }
}
