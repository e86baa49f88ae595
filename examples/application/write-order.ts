// The three writes of the shop, each one transaction over several tables that notes itself in the audit log. One round trip a write, so that
// rows are locked for as short as can be, and a shop of thousands of writes a second fits into one process.
import { DatabaseError, type PoolClient } from 'pg';
import { z } from 'zod';
import type { WriteKind } from './ledger';

/** What became of a transaction whose COMMIT was sent. */
export interface Written {
  outcome: 'acknowledged' | 'unknown';
  /** The rows of the write as JSON, where they were wanted: for `repeatWrite`, untouched. */
  rows?: string;
}

/** SQLSTATEs after which a COMMIT may have happened: the session ended while it was answered. */
const endedMeanwhile = /^(08|57P0|XX)/;
/** What the driver says of a session that it knows to be lost: nothing was sent. */
const notSent = /not queryable/;

const answersSchema = z.tuple([
  z.object({ command: z.literal('BEGIN') }),
  z.object({ rowCount: z.number(), rows: z.array(z.object({ rows: z.string().nullable() })) }),
  // ROLLBACK is what PostgreSQL answers to the COMMIT of a transaction that had failed.
  z.object({ command: z.literal('COMMIT') }),
]);

/**
 * Runs one write and says how its COMMIT ended. Whatever PostgreSQL refuses throws: nothing is written then.
 * @param order `shop.orders.reference`; new for `create`
 * @param withRows whether the rows are wanted, for the other side
 */
export async function writeOrder(
  client: PoolClient,
  { kind, order, write, withRows }: { kind: WriteKind; order: string; write: string; withRows: boolean },
): Promise<Written> {
  await prepare(client);
  const parameters = [order, write].map((id) => client.escapeLiteral(id)).join(', ');
  let answers: unknown;
  try {
    answers = await client.query(`begin; execute shop_${kind} (${parameters}, ${withRows}); commit`);
  } catch (error) {
    if (error instanceof DatabaseError && !endedMeanwhile.test(error.code ?? '')) throw error;
    if (error instanceof Error && notSent.test(error.message)) throw error;
    return { outcome: 'unknown' };
  }
  const [
    ,
    {
      rowCount,
      rows: [written],
    },
  ] = answersSchema.parse(answers);
  if (rowCount !== 1) throw new OrderGone(`order ${order} is not in the active database`);
  return { outcome: 'acknowledged', ...(written?.rows ? { rows: written.rows } : {}) };
}

const prepared = new WeakSet<PoolClient>();

/** Once a session, and not before the schema is there. */
async function prepare(client: PoolClient): Promise<void> {
  if (prepared.has(client)) return;
  await client.query(
    Object.entries(statements)
      .map(([kind, statement]) => `prepare shop_${kind} (uuid, uuid, boolean) as ${statement}`)
      .join(';\n'),
  );
  prepared.add(client);
}

/**
 * $1 is the order, $2 the write, $3 whether its rows are wanted. Each gives one row where it has written, and has written nothing where it gives
 * none. The rows are what `repeatWrite` takes: each as the write has left it, and with it those that its foreign keys need.
 */
const statements: Record<WriteKind, string> = {
  // Products are locked in ascending order: two writers then wait for each other, instead of for ever.
  create: `
    with customer as materialized (
      select 1 + floor(random() * (select max(id) from shop.customers))::bigint as id
    ), chosen as materialized (
      select line::smallint as line, 1 + floor(random() * (select max(id) from shop.products))::int as product
      from generate_series(1, 1 + floor(random() * 3)::int) as line
    ), taken as materialized (
      select id, price from shop.products where id in (select product from chosen) order by id for no key update
    ), made as (
      insert into shop.orders (reference, customer_id, total, shipping)
      select $1, customer.id, (select sum(price) from chosen join taken on taken.id = product), '{"carrier": "bike"}' from customer
      returning *
    ), items as (
      insert into shop.order_items (order_id, line, product_id, quantity, unit_price)
      select made.id, line, product, 1, price from made, chosen join taken on taken.id = product
      returning *
    ), stock as (
      update shop.products set stock = stock - sold.quantity
      from (select product, count(*) as quantity from chosen join taken on taken.id = product group by product) as sold where id = sold.product
      returning products.*
    ), owed as (
      update shop.customers set balance = balance - made.total from made where customers.id = made.customer_id
      returning customers.*
    ), paid as (
      insert into shop.payments (order_id, amount, method) select id, total, 'card' from made returning *
    ), told as (
      insert into shop.events (kind, customer_id, payload) select 'order', customer_id, jsonb_build_object('order', $1::text) from made
      returning *
    ), noted as (
      insert into shop.audit_log (action, subject, write_id, detail) values ('create', $1, $2, 'shop') returning *
    )
    select id, case when $3 then jsonb_build_object(
      'orders', (select jsonb_agg(to_jsonb(image)) from made as image), 'order_items', (select jsonb_agg(to_jsonb(image)) from items as image),
      'products', (select jsonb_agg(to_jsonb(image)) from stock as image), 'customers', (select jsonb_agg(to_jsonb(image)) from owed as image),
      'payments', (select jsonb_agg(to_jsonb(image)) from paid as image), 'events', (select jsonb_agg(to_jsonb(image)) from told as image),
      'audit_log', (select jsonb_agg(to_jsonb(image)) from noted as image))::text end as rows
    from made`,
  cancel: `
    with changed as (
      update shop.orders set status = 'cancelled' where reference = $1 returning *
    ), told as (
      insert into shop.events (kind, payload) select 'cancellation', jsonb_build_object('order', $1::text) from changed returning *
    ), noted as (
      insert into shop.audit_log (action, subject, write_id, detail) select 'cancel', $1, $2, 'shop' from changed returning *
    )
    select id, case when $3 then jsonb_build_object(
      'orders', (select jsonb_agg(to_jsonb(image)) from changed as image),
      'customers', (select jsonb_agg(to_jsonb(owner)) from shop.customers as owner join changed on owner.id = customer_id),
      'events', (select jsonb_agg(to_jsonb(image)) from told as image), 'audit_log', (select jsonb_agg(to_jsonb(image)) from noted as image))::text end as rows
    from changed`,
  // What goes with the order is named too: the other side may have no foreign keys yet.
  delete: `
    with gone as (
      delete from shop.orders where reference = $1 returning id
    ), noted as (
      insert into shop.audit_log (action, subject, write_id, detail) select 'delete', $1, $2, 'shop' from gone returning *
    )
    select id, case when $3 then jsonb_build_object(
      'gone', jsonb_build_object(
        'orders', jsonb_build_array(id),
        'payments', coalesce((select jsonb_agg(payments.id) from shop.payments join gone on order_id = gone.id), '[]')),
      'audit_log', (select jsonb_agg(to_jsonb(image)) from noted as image))::text end as rows
    from gone`,
};

/** The order is gone from the active database: the application says so, and its ledger will. */
export class OrderGone extends Error {
  override readonly name = 'OrderGone';
}
