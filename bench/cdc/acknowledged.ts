// What the servers have acknowledged to the load: enough to find, in the database that is in use at the end, every write once and none twice.
import type pg from 'pg';
import type { Side, Switch } from './load-process';

const batchSize = 50_000;

export class Acknowledged {
  count = 0;
  unknown = 0;
  /** Milliseconds from the last acknowledged write on the old side to the first on the new. */
  readonly switches: Switch[] = [];
  private readonly events: number[] = [];
  private readonly updates = new Map<number, number>();
  private readonly unsure = new Set<number>();
  /** Versions that orders had before the load began. */
  private before = new Map<number, number>();
  private last?: { side: Side; at: number };

  /** Before the first write. */
  async begin(pool: pg.Pool): Promise<void> {
    this.before = await versions(pool);
  }

  inserted(event: number, side: Side): void {
    this.events.push(event);
    this.note(side);
  }

  updated(order: number, side: Side): void {
    this.updates.set(order, (this.updates.get(order) ?? 0) + 1);
    this.note(side);
  }

  /** May have been written or not: the order's number of updates then proves nothing. */
  uncertain(order: number): void {
    this.unknown += 1;
    this.unsure.add(order);
  }

  /** @returns one line for each kind of difference; none when every write is there once. The load must be at rest */
  async lookUp(pool: pg.Pool): Promise<string[]> {
    const missing = await this.missingEvents(pool);
    const { behind, ahead } = await this.wrongOrders(pool);
    return [
      ...(missing > 0 ? [`${missing} inserted events are missing`] : []),
      ...(behind > 0 ? [`${behind} orders miss updates`] : []),
      ...(ahead > 0 ? [`${ahead} orders were updated more often than acknowledged`] : []),
    ];
  }

  private note(side: Side): void {
    const at = performance.timeOrigin + performance.now();
    if (this.last && this.last.side !== side)
      this.switches.push({ from: this.last.side, to: side, freezeMs: at - this.last.at });
    this.last = { side, at };
    this.count += 1;
  }

  private async missingEvents(pool: pg.Pool): Promise<number> {
    let missing = 0;
    for (let first = 0; first < this.events.length; first += batchSize) {
      const batch = this.events.slice(first, first + batchSize);
      const { rows } = await pool.query<{ found: string }>(
        'select count(*)::text as found from events where id = any ($1::bigint[])',
        [batch],
      );
      missing += batch.length - Number(rows[0]?.found);
    }
    return missing;
  }

  private async wrongOrders(pool: pg.Pool): Promise<{ behind: number; ahead: number }> {
    const found = await versions(pool);
    const orders = [...new Set([...found.keys(), ...this.before.keys(), ...this.updates.keys()])];
    const extra = orders
      .filter((order) => !this.unsure.has(order))
      .map((order) => (found.get(order) ?? 0) - (this.before.get(order) ?? 0) - (this.updates.get(order) ?? 0));
    return { behind: extra.filter((many) => many < 0).length, ahead: extra.filter((many) => many > 0).length };
  }
}

async function versions(pool: pg.Pool): Promise<Map<number, number>> {
  const { rows } = await pool.query<{ id: string; version: string }>(
    'select id::text as id, version::text as version from orders where version > 0',
  );
  return new Map(rows.map(({ id, version }) => [Number(id), Number(version)]));
}
