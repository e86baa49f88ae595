// The plans of the demo: the same shop, stopped for the whole copy, brought over in passes, streamed while it goes on, or writing to both sides itself.
import type { PostgresPlanInput } from '../../plan/postgres';

/** @param url of the application */
export function bigBangPlan(name: string, url: string): PostgresPlanInput {
  return {
    ...common(name, url),
    strategy: 'big-bang',
    decision: {
      estimatedDurationMinutes: 2,
      acceptableDowntimeMinutes: 10,
      rationale: 'The shop sleeps at night; ten minutes without orders are accepted.',
    },
    monitor: '15s',
  };
}

/** @param url of the application */
export function incrementalPlan(name: string, url: string): PostgresPlanInput {
  return {
    ...common(name, url),
    strategy: 'incremental',
    decision: {
      estimatedDurationMinutes: 3,
      acceptableDowntimeMinutes: 2,
      rationale:
        'The source may not be streamed from; the shop can pause for a last pass and a comparison of every row.',
    },
    // Some tables by the column that the shop keeps, the others by their row versions.
    incremental: { updateColumns: [{ table: 'shop.customers', column: 'updated_at' }] },
    maxDowntime: '3m',
    monitor: '15s',
  };
}

/** @param url of the application */
export function cdcPlan(name: string, url: string): PostgresPlanInput {
  return {
    ...common(name, url),
    strategy: 'cdc',
    decision: {
      estimatedDurationMinutes: 3,
      acceptableDowntimeMinutes: 1,
      rationale: 'The shop takes orders all the time; a pause of some seconds is accepted, a lost order is not.',
    },
    // The audit log has no key.
    cdc: { tablesWithoutKey: 'full' },
    monitor: '20s',
  };
}

/** @param url of the application */
export function dualWritePlan(name: string, url: string): PostgresPlanInput {
  return {
    ...common(name, url),
    strategy: 'dual-write',
    decision: {
      estimatedDurationMinutes: 5,
      acceptableDowntimeMinutes: 0,
      rationale: 'The shop never stops, and can be taught to write to two databases.',
    },
    dualWrite: { roundInterval: '2s', settle: '1s' },
    monitor: '15s',
  };
}

function common(name: string, url: string): PostgresPlanInput {
  return {
    name,
    source: { env: 'SOURCE_DATABASE_URL' },
    target: { env: 'TARGET_DATABASE_URL' },
    application: { adminUrl: url, token: { env: 'SHOP_ADMIN_TOKEN' } },
    rehearsal: { skip: 'the demo is one itself: both servers are made for it and thrown away' },
    copy: { lanes: 2, chunkMegabytes: 32 },
    validation: {
      notNull: [{ table: 'shop.orders', columns: ['customer_id', 'placed_at'] }],
      assertions: [
        {
          name: 'no order without a customer',
          sql: 'select count(*) from shop.orders o where not exists (select from shop.customers c where c.id = o.customer_id)',
          expect: '0',
        },
      ],
      smoke: [
        { name: 'newest order is served', url: `${url}/orders/latest` },
        { name: 'orders are there', sql: 'select count(*) > 0 from shop.orders', expect: 't' },
      ],
      performance: {
        queries: [{ name: 'orders of a customer', sql: 'select count(*) from shop.orders where customer_id = 42' }],
      },
    },
    rollbackTriggers: { probes: [{ name: 'health', url: `${url}/health` }], interval: '1s', window: '10s' },
    retainSource: '5s',
  };
}
