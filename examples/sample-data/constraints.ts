// What the sample shop gets after its rows: keys, indexes, foreign keys; then views, functions, triggers, policies, comments.
import { eventMonths } from './tables';

/** Built in lanes, the longest first: each stands for itself. */
export const indexStatements: string[] = [
  'alter table shop.order_items add primary key (order_id, line)',
  'alter table shop.orders add primary key (id), add constraint orders_reference_key unique (reference)',
  'alter table shop.events add primary key (id, occurred_at)',
  'create index events_payload on shop.events using gin (payload jsonb_path_ops)',
  `alter table shop.payments add primary key (id), add check (method in ('card', 'transfer', 'voucher'))`,
  'create index orders_customer on shop.orders (customer_id, placed_at desc) include (status)',
  'create index payments_order on shop.payments (order_id)',
  'create index order_items_product on shop.order_items (product_id)',
  'create index audit_log_subject on shop.audit_log (subject)',
  'create index audit_log_at on shop.audit_log using brin (at)',
  'create index audit_log_write on shop.audit_log (write_id) where write_id is not null',
  `create index orders_open on shop.orders (placed_at) where status in ('placed', 'paid')`,
  'alter table shop.customers add primary key (id), add constraint customers_reference_key unique (reference)',
  'create unique index customers_email on shop.customers (lower(email::text))',
  'create index customers_tags on shop.customers using gin (tags)',
  'alter table shop.products add primary key (id), add unique (sku), add check (stock >= 0)',
  'alter table shop.product_pictures add primary key (product_id)',
  'alter table shop.campaigns add primary key (id), add constraint campaigns_do_not_overlap exclude using gist (period with &&)',
  'alter table shop.carts add primary key (customer_id)',
  'alter table public.exchange_rates add primary key (day, currency)',
  'alter table public."Newsletter Subscribers" add constraint "Newsletter key" primary key ("E-mail")',
];

/** One after the other: each needs the keys of two tables. */
export const foreignKeyStatements: string[] = [
  'alter table shop.orders add foreign key (customer_id) references shop.customers',
  'alter table shop.order_items add foreign key (order_id) references shop.orders on delete cascade',
  'alter table shop.order_items add foreign key (product_id) references shop.products',
  'alter table shop.payments add foreign key (order_id) references shop.orders on delete cascade deferrable initially deferred',
  'alter table shop.product_pictures add foreign key (product_id) references shop.products',
  'alter table shop.contracts add foreign key (customer_id) references shop.customers',
  'alter table shop.customer_notes add foreign key (customer_id) references shop.customers not valid',
];

export const programSql = `
-- A version of the row: later with every update, whatever the clock does. A writer that names it itself (a repeat of a write that was made
-- elsewhere) is believed.
create function shop.touch() returns trigger language plpgsql as $$
begin
  if new.updated_at is not distinct from old.updated_at then
    new.updated_at := greatest(clock_timestamp(), old.updated_at + interval '1 microsecond');
  end if;
  return new;
end $$;
create trigger customers_touch before update on shop.customers for each row execute function shop.touch();
create trigger products_touch before update on shop.products for each row execute function shop.touch();
create trigger orders_touch before update on shop.orders for each row when (old.* is distinct from new.*) execute function shop.touch();

create function shop.order_total(of_order bigint) returns numeric language sql stable
  begin atomic select sum(amount) from shop.order_items where order_id = of_order; end;
create function shop.level(balance numeric) returns text language sql immutable
  as $$ select case when balance < 0 then 'owing' when balance < 100 then 'regular' else 'gold' end $$;
create index customers_level on shop.customers (shop.level(balance));
create procedure shop.refresh_reports() language plpgsql security definer set search_path = pg_catalog as $$
begin
  refresh materialized view shop.daily_sales;
end $$;

create view shop.open_orders as
  select orders.id, orders.reference, customers.name, orders.total, orders.placed_at
  from shop.orders join shop.customers on customers.id = orders.customer_id
  where orders.status in ('placed', 'paid');
create materialized view shop.daily_sales as
  select date_trunc('day', placed_at at time zone 'UTC')::date as day, count(*) as orders, sum(total) as revenue
  from shop.orders where status <> 'cancelled' group by 1;
create unique index daily_sales_day on shop.daily_sales (day);
create materialized view shop.monthly_sales as
  select date_trunc('month', day)::date as month, sum(orders) as orders, sum(revenue) as revenue from shop.daily_sales group by 1;

create statistics shop.orders_customer_status (ndistinct, dependencies) on customer_id, status from shop.orders;
alter table shop.orders alter column customer_id set statistics 500;
alter table shop.audit_log set (fillfactor = 90, autovacuum_analyze_scale_factor = 0.2);

alter table shop.customer_notes enable row level security;
comment on table shop.orders is 'One row an order; deleted when it was placed by mistake';
comment on column shop.orders.reference is 'What the customer is told; the application''s ledger names it too';
comment on column shop.customers.balance is 'Negative: the customer owes us';
comment on function shop.level(numeric) is 'Shown on the customer''s page';
comment on index shop.orders_open is 'For the packing screen';
comment on type shop.order_status is 'In the order of an order''s life';
`;

/** For the tables that have none on purpose. The application fills `write_id`, and never writes to the other two. */
export const keySql = `
update shop.audit_log set write_id = md5(detail)::uuid where write_id is null;
alter table shop.audit_log add primary key (write_id);
alter table shop.customer_notes add column id bigint generated always as identity primary key;
alter table shop.contracts add column id bigint generated always as identity primary key;
`;

/** Brings the sequences behind columns to where the rows are; invoices go on from a number of their own. */
export const sequenceSql = `
select setval(pg_get_serial_sequence('shop.orders', 'id'), (select max(id) from shop.orders));
select setval(pg_get_serial_sequence('shop.customers', 'id'), (select max(id) from shop.customers));
select setval(pg_get_serial_sequence('shop.products', 'id'), (select max(id) from shop.products));
select setval(pg_get_serial_sequence('shop.payments', 'id'), (select max(id) from shop.payments));
select setval('shop.event_id', (select max(id) from shop.events));
select setval('shop.invoice_number', 123456);
`;

/** Everything the application's role may do, and a role that only reads. Both are quoted identifiers. */
export function privilegeSql(role: string, reporting: string): string {
  return `
grant usage on schema shop to ${role}, ${reporting};
grant select, insert, update, delete on all tables in schema shop to ${role};
revoke update, delete on shop.audit_log from ${role};
revoke update on shop.customers from ${role};
grant update (email, name, address, tags, preferences, balance, updated_at) on shop.customers to ${role};
grant usage on all sequences in schema shop to ${role};
grant select on public.exchange_rates to public;
grant select on shop.open_orders, shop.daily_sales, shop.monthly_sales to ${reporting};
alter default privileges in schema shop grant select on tables to ${reporting};
revoke execute on procedure shop.refresh_reports() from public;
grant execute on procedure shop.refresh_reports() to ${role};
create policy open_notes_are_read on shop.customer_notes for select to ${role} using (not confidential);
create policy notes_are_written on shop.customer_notes for insert to ${role} with check (true);
do $$
declare document oid;
begin
  for document in select contracts.document from shop.contracts loop
    execute format('grant select on large object %s to %s', document, $role$${role}$role$);
  end loop;
  if document is not null then
    execute format('comment on large object %s is %L', document, 'The newest contract');
  end if;
end $$;
`;
}

/** ANALYZE of all tables, each leaf of the events too. */
export const analyzeStatements: string[] = [
  'analyze shop.orders, shop.order_items, shop.payments, shop.customers, shop.products, shop.audit_log, shop.customer_notes, shop.daily_sales',
  'analyze shop.events',
  `analyze ${eventMonths.map(({ name }) => `shop.${name}`).join(', ')}`,
];
