// Repeats a write of the shop on the other side: the same rows with the same ids and values, in one statement, as often as one likes.
// Contract: a row that is newer there stays. The version of a row is its `updated_at`, which grows with every update of the row whatever
// the clock does (`shop.touch()`); rows without one are written once and never changed. The keys of the tables must be there.
import type { PoolClient } from 'pg';

/** @param rows what `writeOrder` gave; @throws what PostgreSQL refuses, or the driver when the session is lost */
export async function repeatWrite(client: PoolClient, rows: string): Promise<void> {
  // Planned every time: tables that a migration is still filling would be read from end to end by a plan of some minutes ago.
  await client.query(statement, [rows]);
}

/**
 * Foreign keys are looked at when the whole statement has been run, so the order in it is only for the locks: products are locked in ascending
 * order, then one customer, as `writeOrder` does.
 */
const statement = `
  with sent as materialized (
    select $1::jsonb as rows
  ), products as (
    insert into shop.products as stored overriding system value
    select image.* from sent, jsonb_populate_recordset(null::shop.products, sent.rows -> 'products') as image order by image.id
    on conflict (id) do update
      set (sku, name, description, price, stock, weight_kg, sizes, on_sale, updated_at) = (excluded.sku, excluded.name, excluded.description,
        excluded.price, excluded.stock, excluded.weight_kg, excluded.sizes, excluded.on_sale, excluded.updated_at)
      where stored.updated_at < excluded.updated_at
  ), customers as (
    insert into shop.customers as stored overriding system value
    select image.* from sent, jsonb_populate_recordset(null::shop.customers, sent.rows -> 'customers') as image
    on conflict (id) do update
      set (email, name, address, tags, preferences, balance, updated_at) = (excluded.email, excluded.name, excluded.address,
        excluded.tags, excluded.preferences, excluded.balance, excluded.updated_at)
      where stored.updated_at < excluded.updated_at
  ), orders as (
    insert into shop.orders as stored
    select image.* from sent, jsonb_populate_recordset(null::shop.orders, sent.rows -> 'orders') as image
    on conflict (id) do update
      set (status, total, note, shipping, updated_at) = (excluded.status, excluded.total, excluded.note, excluded.shipping, excluded.updated_at)
      where stored.updated_at < excluded.updated_at
  ), items as (
    insert into shop.order_items (order_id, line, product_id, quantity, unit_price)
    select image.order_id, image.line, image.product_id, image.quantity, image.unit_price
    from sent, jsonb_populate_recordset(null::shop.order_items, sent.rows -> 'order_items') as image
    on conflict (order_id, line) do nothing
  ), payments as (
    insert into shop.payments overriding system value
    select image.* from sent, jsonb_populate_recordset(null::shop.payments, sent.rows -> 'payments') as image
    on conflict (id) do nothing
  ), events as (
    insert into shop.events
    select image.* from sent, jsonb_populate_recordset(null::shop.events, sent.rows -> 'events') as image
    on conflict (id, occurred_at) do nothing
  ), noted as (
    insert into shop.audit_log
    select image.* from sent, jsonb_populate_recordset(null::shop.audit_log, sent.rows -> 'audit_log') as image
    where (select count(*) from shop.audit_log as stored where stored.write_id = image.write_id) = 0
  ), gone as materialized (
    select array(select id::bigint from jsonb_array_elements_text(sent.rows -> 'gone' -> 'orders') as named (id)) as orders,
      array(select id::bigint from jsonb_array_elements_text(sent.rows -> 'gone' -> 'payments') as named (id)) as payments
    from sent
  ), without_payments as (
    delete from shop.payments where id = any ((select gone.payments from gone)::bigint[])
  ), without_items as (
    delete from shop.order_items where order_id = any ((select gone.orders from gone)::bigint[])
  )
  delete from shop.orders where id = any ((select gone.orders from gone)::bigint[])`;
