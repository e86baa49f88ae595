// The HTTP side of the demo application: the runbook's admin endpoints behind a bearer token, and what customers see.
// Contract: every admin endpoint is idempotent; answers are JSON; a database that fails is 503, never a crash.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { messageOf, type Sides } from './sides';
import type { Writers } from './writers';

export interface Shop {
  sides: Sides;
  writers: Writers;
  adminToken?: string;
  /** What `switch-datastore` is given for the two sides. */
  names: { source: string; target: string };
  /** Writes older than this make `GET /health` fail. */
  staleAfterMs: number;
  /** When writing last began, for the time until its first write. */
  resumedAt: number;
  log: (line: string) => void;
}

export interface Answer {
  status: number;
  body: object;
}

type Route = (shop: Shop, request: IncomingMessage) => Promise<Answer>;

const bodyLimitBytes = 64 * 1024;

const routes: Record<string, Route> = {
  'POST /admin/maintenance-mode': async (shop, request) => {
    const { enabled = true, reason } = await readJson(request);
    if (typeof enabled !== 'boolean') return refusal(400, 'enabled must be true or false');
    shop.log(`maintenance mode ${enabled ? 'on' : 'off'}${typeof reason === 'string' ? `: ${reason}` : ''}`);
    return enabled ? enterMaintenance(shop) : resume(shop);
  },
  'POST /admin/normal-mode': async (shop) => {
    shop.log('normal mode');
    return resume(shop);
  },
  'POST /admin/target-health-check': async (shop) => {
    const health = await shop.sides.targetHealth();
    return { status: health.healthy ? 200 : 503, body: health };
  },
  'POST /admin/switch-datastore': async (shop, request) => {
    const { target } = await readJson(request);
    const side = target === shop.names.target ? 'target' : target === shop.names.source ? 'source' : undefined;
    if (!side) return refusal(400, `target must be "${shop.names.target}" or "${shop.names.source}"`);
    if (shop.sides.active !== side && shop.sides.mode !== 'maintenance') {
      return refusal(409, 'writes are going on: turn maintenance mode on first');
    }
    const changes = shop.sides.active !== side;
    shop.sides.become({ active: side });
    if (changes) shop.sides.warm();
    shop.log(`writes go to the ${side}`);
    return { status: 200, body: statusOf(shop) };
  },
  'POST /admin/dual-write': async () => refusal(501, 'this application does not write to both databases'),
  'GET /admin/status': async (shop) => ({ status: 200, body: statusOf(shop) }),
  'GET /health': async (shop) => healthOf(shop),
  'GET /orders/latest': async (shop) => {
    const { rows } = await shop.sides.pool().query<{ reference: string; status: string; total: string; at: string }>(
      `select reference::text, status::text, total::text,
         to_char(placed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at
       from shop.orders order by id desc limit 10`,
    );
    return { status: 200, body: { side: shop.sides.active, orders: rows } };
  },
  'GET /orders/count': async (shop) => {
    const { rows } = await shop.sides
      .pool()
      .query<{ count: string }>('select count(*)::text as count from shop.orders');
    return { status: 200, body: { side: shop.sides.active, count: Number(rows[0]?.count) } };
  },
};

/** Answers one request. Never throws. */
export async function answer(shop: Shop, request: IncomingMessage): Promise<Answer> {
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
  const route = routes[`${request.method} ${path}`];
  if (path.startsWith('/admin/') && !isAuthorized(shop.adminToken, request)) {
    return refusal(401, 'the bearer token is missing or wrong');
  }
  if (!route) return refusal(404, `there is no ${request.method} ${path}`);
  try {
    return await route(shop, request);
  } catch (error) {
    if (error instanceof BadRequest) return refusal(400, error.message);
    return refusal(503, messageOf(error));
  }
}

export function statusOf({ sides, writers }: Shop) {
  const { acknowledged, failed, unknown, lastAcknowledgedAt, lastFailure, side, lastSwitch } = writers.counts;
  return {
    mode: sides.mode,
    active: sides.active,
    acknowledged,
    failed,
    unknown,
    lastAcknowledgedAt: lastAcknowledgedAt === undefined ? null : new Date(lastAcknowledgedAt).toISOString(),
    lastFailure: lastFailure ? { at: new Date(lastFailure.at).toISOString(), message: lastFailure.message } : null,
    // Of an earlier switch until the side that is active now has taken its first write: not told.
    lastSwitch: side === sides.active ? (lastSwitch ?? null) : null,
  };
}

export type ApplicationStatus = ReturnType<typeof statusOf>;

async function enterMaintenance(shop: Shop): Promise<Answer> {
  shop.sides.become({ mode: 'maintenance' });
  await shop.writers.pause();
  return { status: 200, body: statusOf(shop) };
}

async function resume(shop: Shop): Promise<Answer> {
  if (shop.sides.mode === 'maintenance') shop.resumedAt = Date.now();
  shop.sides.become({ mode: 'normal' });
  shop.writers.resume();
  return { status: 200, body: statusOf(shop) };
}

function healthOf(shop: Shop): Answer {
  const { mode, active } = shop.sides;
  if (mode === 'maintenance') return { status: 503, body: { mode, active } };
  const { lastAcknowledgedAt, lastFailure } = shop.writers.counts;
  const silentMs = Math.round(Date.now() - Math.max(lastAcknowledgedAt ?? 0, shop.resumedAt));
  if (silentMs <= shop.staleAfterMs) return { status: 200, body: { mode, active } };
  return { status: 503, body: { mode, active, silentMs, error: lastFailure?.message } };
}

function isAuthorized(token: string | undefined, { headers }: IncomingMessage): boolean {
  if (token === undefined) return true;
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(headers.authorization ?? ''), digest(`Bearer ${token}`));
}

class BadRequest extends Error {}

/** An empty body is an empty object: the runbook's own `curl -X POST` sends none. */
async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > bodyLimitBytes) throw new BadRequest('the body is larger than 64 KiB');
    parts.push(part);
  }
  if (bytes === 0) return {};
  try {
    const value: unknown = JSON.parse(Buffer.concat(parts).toString('utf8'));
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return { ...value };
  } catch {
    // Told below, together with JSON of another shape.
  }
  throw new BadRequest('the body must be a JSON object');
}

function refusal(status: number, error: string): Answer {
  return { status, body: { error } };
}
