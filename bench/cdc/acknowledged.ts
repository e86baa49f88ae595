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
  private last?: { side: Side; at: number };

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
    const known = [...this.updates].filter(([order]) => !this.unsure.has(order));
    const { rows } = await pool.query<{ id: string; version: string }>(
      'select id::text as id, version::text as version from orders where version > 0',
    );
    const versions = new Map(rows.map(({ id, version }) => [Number(id), Number(version)]));
    const behind = known.filter(([order, updates]) => (versions.get(order) ?? 0) < updates).length;
    const ahead = [...versions].filter(
      ([order, version]) => !this.unsure.has(order) && version > (this.updates.get(order) ?? 0),
    ).length;
    return { behind, ahead };
  }
}
