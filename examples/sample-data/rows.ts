// The rows of the sample shop, made on the server from hashes of their numbers: the same for the same size, without a file to ship.
import { eventMonths } from './tables';

const contracts = 'contracts, with their documents as large objects';

/** How many of each there are for a number of orders. */
export interface ShopSize {
  orders: number;
  customers: number;
  products: number;
  events: number;
  pictureBytes: number;
}

export function shopSize(orders: number): ShopSize {
  return {
    orders,
    customers: Math.max(20, Math.ceil(orders / 8)),
    products: Math.min(3_000, Math.max(20, Math.ceil(orders / 100))),
    events: Math.ceil(orders * 1.2),
    pictureBytes: 16_384,
  };
}

/** One kind of rows: `statement` makes those with numbers from `first` to `last` ($1, $2) in one transaction. */
export interface RowBatch {
  what: string;
  count: number;
  batch: number;
  statement: string;
}

/** `pick(5, 1, 10)`: a number from 0 to 9, always the same for the same key and salt. Inlined by the planner. */
export const pickSql = `
create or replace function pg_temp.pick(key bigint, salt bigint, choices bigint) returns bigint
  language sql immutable return (hashint8extended(key, salt) & 9223372036854775807) % choices
`;

const firstNames = `array['Ada','Benoît','Chiara','Dmitri','Elif','Farid','Grace','Hiroshi','Ingrid','José','Katarzyna','Lê','Miriam','Nils','Ọlá','Priya','Quentin','Rósa','Søren','Tomáš']`;
const lastNames = `array['Almeida','Bauer','Çelik','Dubois','Eriksson','Fischer','García','Hansen','Ito','Jansen','Kowalski','Lindqvist','Müller','Nováková','O''Brien','Petrov','Quispe','Rossi','Sørensen','Tanaka']`;
const cities = `array['Lisboa','Berlin','Torino','Zürich','Kraków','Göteborg','Praha','Brest','Cork','Osaka']`;
const nouns = `array['Lamp','Chair','Desk','Kettle','Bicycle','Notebook','Rug','Mug','Shelf','Clock','Blanket','Radio']`;
const adjectives = `array['Oak','Folding','Quiet','Travel','Heavy','Enamel','Woollen','Brass','Little','Garden']`;

/** All rows, those that need the most time first: two lanes take them in this order. */
export function rowBatches(
  { orders, customers, products, events, pictureBytes }: ShopSize,
  documents = true,
): RowBatch[] {
  const firstDay = `timestamptz '${eventMonths[0]?.from} 00:00+00'`;
  // Spread over the year, microseconds included.
  const moment = (of: string, count: number) =>
    `${firstDay} + ${of} * (interval '364 days' / ${count}) + pg_temp.pick(${of}, 3, 1000000) * interval '1 microsecond'`;
  const batches = [
    {
      what: 'orders',
      count: orders,
      batch: 25_000,
      statement: `
        with items as (
          insert into shop.order_items (order_id, line, product_id, quantity, unit_price)
          select o, line, 1 + pg_temp.pick(o * 8 + line, 11, ${products}), 1 + pg_temp.pick(o * 8 + line, 12, 5),
            (100 + pg_temp.pick(o * 8 + line, 13, 20000)) / 100.0
          from generate_series($1::bigint, $2::bigint) as o, generate_series(1, 1 + pg_temp.pick(o, 14, 4)) as line
          returning order_id, amount
        ), totals as (select order_id, sum(amount) as total from items group by order_id)
        insert into shop.orders (id, reference, customer_id, status, total, note, shipping, placed_at, updated_at)
        select o, md5('order ' || o)::uuid, 1 + pg_temp.pick(o, 15, ${customers}),
          (enum_range(null::shop.order_status))[case when pg_temp.pick(o, 16, 20) = 0 then 5 else 1 + pg_temp.pick(o, 17, 4) end],
          total, case when pg_temp.pick(o, 18, 12) = 0 then E'Please ring twice.\\n\\tThe bell is "broken" \\\\ ' || o when pg_temp.pick(o, 18, 12) = 1 then '' end,
          jsonb_build_object('carrier', (array['post', 'bike', 'van'])[1 + pg_temp.pick(o, 19, 3)], 'parcel', md5('parcel ' || o)),
          at, at + pg_temp.pick(o, 20, 864000) * interval '1 second'
        from totals, lateral (select order_id as o, ${moment('order_id', orders)} as at) as numbered
        order by o`,
    },
    {
      what: 'events',
      count: events,
      batch: 50_000,
      statement: `
        insert into shop.events (id, occurred_at, kind, customer_id, payload)
        select e, ${moment('e', events)}, (array['view', 'search', 'basket', 'login'])[1 + pg_temp.pick(e, 31, 4)],
          nullif(pg_temp.pick(e, 32, ${customers} + 1), 0),
          jsonb_build_object('session', md5('session ' || e / 7), 'page', '/products/' || 1 + pg_temp.pick(e, 33, ${products}),
            'agent', 'Mozilla/5.0 (X11; Linux x86_64) shop/' || pg_temp.pick(e, 34, 40), 'ms', pg_temp.pick(e, 35, 2000) / 7.0, 'tags', jsonb_build_array(md5('tag ' || e), null, true))
        from generate_series($1::bigint, $2::bigint) as e`,
    },
    {
      what: 'payments',
      count: orders,
      batch: 50_000,
      statement: `
        insert into shop.payments (id, order_id, amount, method, details, paid_at) overriding system value
        select p, p, (100 + pg_temp.pick(p, 41, 90000)) / 100.0, (array['card', 'transfer', 'voucher'])[1 + pg_temp.pick(p, 42, 3)],
          jsonb_build_object('authorization', md5('payment ' || p)), ${moment('p', orders)} + interval '1 hour'
        from generate_series($1::bigint, $2::bigint) as p`,
    },
    {
      what: 'audit entries',
      count: orders,
      batch: 50_000,
      statement: `
        insert into shop.audit_log (at, actor, action, subject, detail)
        select ${moment('a', orders)}, 'import', 'create', md5('order ' || a)::uuid, 'imported from the old shop, line ' || a
        from generate_series($1::bigint, $2::bigint) as a`,
    },
    {
      what: 'product pictures',
      count: products,
      batch: 200,
      statement: `
        insert into shop.product_pictures (product_id, content)
        select p, decode(string_agg(md5(p || ' picture ' || piece), ''), 'hex')
        from generate_series($1::bigint, $2::bigint) as p, generate_series(1, ${pictureBytes} / 16) as piece group by p`,
    },
    {
      what: 'customers',
      count: customers,
      batch: 25_000,
      statement: `
        insert into shop.customers (id, reference, email, name, address, tags, preferences, balance, created_at, updated_at) overriding system value
        select c, md5('customer ' || c)::uuid, 'customer' || c || '@example.com',
          (${firstNames})[1 + pg_temp.pick(c, 51, 20)] || ' ' || (${lastNames})[1 + pg_temp.pick(c, 52, 20)],
          row('Street ' || 1 + pg_temp.pick(c, 53, 200), (${cities})[1 + pg_temp.pick(c, 54, 10)], lpad(pg_temp.pick(c, 55, 99999)::text, 5, '0'), (array['PT', 'DE', 'IT', 'SE'])[1 + pg_temp.pick(c, 56, 4)])::shop.address,
          case pg_temp.pick(c, 57, 4) when 0 then '{}' when 1 then array['vip', null] else array['news', 'comma, quote " and \\ slash'] end::text[],
          jsonb_build_object('language', 'en', 'since', 2000 + pg_temp.pick(c, 58, 25)), (pg_temp.pick(c, 59, 100000) - 50000) / 100.0, at, at
        from generate_series($1::bigint, $2::bigint) as c, lateral (select ${moment('c', customers)} as at) as moment`,
    },
    {
      what: 'products',
      count: products,
      batch: 1_000,
      statement: `
        insert into shop.products (id, sku, name, description, price, stock, weight_kg, sizes, on_sale, updated_at)
        select p, 'SKU' || lpad(p::text, 6, '0'), (${adjectives})[1 + pg_temp.pick(p, 61, 10)] || ' ' || (${nouns})[1 + pg_temp.pick(p, 62, 12)],
          (select string_agg(md5(p || ' word ' || word), ' ') from generate_series(1, 20 + pg_temp.pick(p, 63, 120)) as word),
          (100 + pg_temp.pick(p, 64, 20000)) / 100.0, 1000000, pg_temp.pick(p, 65, 50000) / 997.0,
          array[pg_temp.pick(p, 66, 300) / 10.0, 'NaN', null], daterange(date '2025-01-01' + pg_temp.pick(p, 67, 300)::int, case when pg_temp.pick(p, 68, 3) > 0 then date '2025-12-31' end),
          ${moment('p', products)}
        from generate_series($1::bigint, $2::bigint) as p`,
    },
    {
      what: 'customer notes',
      count: Math.ceil(customers / 50),
      batch: 10_000,
      statement: `
        insert into shop.customer_notes (customer_id, written_at, confidential, text)
        select 1 + pg_temp.pick(n, 71, ${customers}), ${moment('n', customers)}, n % 5 = 0, 'Called about order ' || n
        from generate_series($1::bigint, $2::bigint) as n`,
    },
    {
      what: contracts,
      count: 12,
      batch: 12,
      statement: `
        insert into shop.contracts (customer_id, signed_on, document)
        select c, date '2025-01-01' + c::int, lo_from_bytea(0, (select decode(string_agg(md5(c || ' document ' || piece), ''), 'hex') from generate_series(1, c * 600) as piece))
        from generate_series($1::bigint, $2::bigint) as c`,
    },
    {
      what: 'campaigns',
      count: 12,
      batch: 12,
      statement: `
        insert into shop.campaigns (name, period) select 'Month ' || c, daterange((date '2025-01-01' + (c - 1) * interval '1 month')::date, (date '2025-01-01' + c * interval '1 month')::date)
        from generate_series($1::bigint, $2::bigint) as c`,
    },
    {
      what: 'carts',
      count: 20,
      batch: 20,
      statement: `insert into shop.carts (customer_id, items, touched_at) select c, jsonb_build_array(c), ${moment('c', 20)} from generate_series($1::bigint, $2::bigint) as c`,
    },
    {
      what: 'exchange rates',
      count: 365,
      batch: 365,
      statement: `
        insert into public.exchange_rates (day, currency, rate, inverse)
        select date '2025-01-01' + (d - 1)::int, currency, rate, 1 / rate
        from generate_series($1::bigint, $2::bigint) as d, unnest(array['USD', 'CHF', 'JPY']) as currency, lateral (select 1 + pg_temp.pick(d, ascii(currency), 100000000) / 100000000.0 as rate) as rates`,
    },
    {
      what: 'newsletter subscribers',
      count: Math.ceil(customers / 20),
      batch: 25_000,
      statement: `
        insert into public."Newsletter Subscribers" ("E-mail", "since", "interval", address)
        select 'reader' || n || '@example.com', (${moment('n', customers)}) at time zone 'UTC', case when n % 3 = 0 then interval '1 month' else interval '7 days' end, ('10.1.' || n % 256 || '.7')::inet
        from generate_series($1::bigint, $2::bigint) as n`,
    },
  ];
  return documents ? batches : batches.filter(({ what }) => what !== contracts);
}
