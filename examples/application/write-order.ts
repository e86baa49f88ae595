// The three writes of the shop, each one transaction of several statements that notes itself in the audit log.
import { DatabaseError, type PoolClient } from 'pg';
import type { WriteKind } from './ledger';

/** What became of a transaction whose COMMIT was sent. */
export type CommitOutcome = 'acknowledged' | 'unknown';

/** SQLSTATEs after which a COMMIT may have happened: the session ended while it was answered. */
const endedMeanwhile = /^(08|57P0|XX)/;

/**
 * Runs one write and says how its COMMIT ended. Whatever fails before COMMIT was sent, or is refused by it, throws: nothing is written then.
 * @param order `shop.orders.reference`; new for `create`
 */
export async function writeOrder(
  client: PoolClient,
  { kind, order, write }: { kind: WriteKind; order: string; write: string },
): Promise<CommitOutcome> {
  await client.query('begin');
  await statements[kind](client, order);
  await client.query(`insert into shop.audit_log (action, subject, write_id, detail) values ($1, $2, $3, 'shop')`, [
    kind,
    order,
    write,
  ]);
  return commit(client);
}

async function commit(client: PoolClient): Promise<CommitOutcome> {
  const answer = await client.query('commit').catch((error: unknown) => {
    if (error instanceof DatabaseError && !endedMeanwhile.test(error.code ?? '')) throw error;
    return undefined;
  });
  if (!answer) return 'unknown';
  // What PostgreSQL answers when the transaction had failed before.
  if (answer.command !== 'COMMIT') throw new Error(`COMMIT was answered with ${answer.command}`);
  return 'acknowledged';
}

const statements: Record<WriteKind, (client: PoolClient, order: string) => Promise<void>> = {
  async create(client, order) {
    const { rows } = await client.query<{ customers: string; products: string }>(
      'select (select max(id) from shop.customers)::text as customers, (select max(id) from shop.products)::text as products',
    );
    const customer = 1 + Math.floor(Math.random() * Number(rows[0]?.customers));
    // In ascending order: two writers then wait for each other, instead of for ever.
    const products = Array.from(
      { length: 1 + Math.floor(Math.random() * 3) },
      () => 1 + Math.floor(Math.random() * Number(rows[0]?.products)),
    ).sort((left, right) => left - right);
    const made = await client.query<{ id: string }>(
      `insert into shop.orders (reference, customer_id, total, shipping) values ($1, $2, 0, '{"carrier": "bike"}') returning id::text as id`,
      [order, customer],
    );
    const id = made.rows[0]?.id;
    await client.query(
      `insert into shop.order_items (order_id, line, product_id, quantity, unit_price)
       select $1, line, product, 1, price from unnest($2::int[]) with ordinality as chosen (product, line)
       join shop.products on products.id = product`,
      [id, products],
    );
    for (const product of new Set(products)) {
      await client.query(
        'update shop.products set stock = stock - (select sum(quantity) from shop.order_items where order_id = $1 and product_id = $2) where id = $2',
        [id, product],
      );
    }
    await client.query('update shop.orders set total = shop.order_total(id) where id = $1', [id]);
    await client.query(
      'update shop.customers set balance = balance - (select total from shop.orders where id = $1) where id = $2',
      [id, customer],
    );
    await client.query(
      `insert into shop.payments (order_id, amount, method) select id, total, 'card' from shop.orders where id = $1`,
      [id],
    );
    await client.query(
      `insert into shop.events (kind, customer_id, payload) values ('order', $1, jsonb_build_object('order', $2::text))`,
      [customer, order],
    );
  },

  async cancel(client, order) {
    const { rowCount } = await client.query(`update shop.orders set status = 'cancelled' where reference = $1`, [
      order,
    ]);
    mustHaveBeenThere(rowCount, order);
    await client.query(
      `insert into shop.events (kind, payload) values ('cancellation', jsonb_build_object('order', $1::text))`,
      [order],
    );
  },

  async delete(client, order) {
    const { rowCount } = await client.query('delete from shop.orders where reference = $1', [order]);
    mustHaveBeenThere(rowCount, order);
  },
};

/** The order is gone from the active database: the application says so, and its ledger will. */
export class OrderGone extends Error {
  override readonly name = 'OrderGone';
}

function mustHaveBeenThere(rowCount: number | null, order: string): void {
  if (rowCount !== 1) throw new OrderGone(`order ${order} is not in the active database`);
}
