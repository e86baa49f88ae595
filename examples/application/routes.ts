// The HTTP side of the demo application: the runbook's admin endpoints behind a bearer token, and what customers see.
// Contract: every admin endpoint is idempotent; answers are JSON; a database that fails is 503, never a crash.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import { faultsSchema } from './faults';
import type { Side } from './ledger';
import type { Repeats } from './repeats';
import { messageOf, type Sides } from './sides';
import type { Turn } from './turn';
import type { Writers } from './writers';

export interface Shop {
  sides: Sides;
  writers: Writers;
  repeats: Repeats;
  /** For what changes mode, side or dual write. */
  turn: Turn;
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
    return shop.turn.take(() => (enabled ? enterMaintenance(shop) : resume(shop)));
  },
  'POST /admin/normal-mode': async (shop) => {
    shop.log('normal mode');
    return shop.turn.take(() => resume(shop));
  },
  'POST /admin/target-health-check': async (shop) => {
    const health = await shop.sides.health('target');
    return { status: health.healthy ? 200 : 503, body: health };
  },
  'POST /admin/switch-datastore': async (shop, request) => {
    const { target, failedRepeats } = await readJson(request);
    const side = target === shop.names.target ? 'target' : target === shop.names.source ? 'source' : undefined;
    if (!side) return refusal(400, `target must be "${shop.names.target}" or "${shop.names.source}"`);
    if (failedRepeats !== undefined && typeof failedRepeats !== 'number')
      return refusal(400, 'failedRepeats must be a number');
    return shop.turn.take(() => switchTo(shop, side, failedRepeats));
  },
  'POST /admin/dual-write': async (shop, request) => {
    const { enabled } = await readJson(request);
    if (typeof enabled !== 'boolean') return refusal(400, 'enabled must be true or false');
    return shop.turn.take(() => (enabled ? beginDualWrite(shop) : endDualWrite(shop)));
  },
  'POST /admin/faults': async (shop, request) => {
    if (shop.adminToken === undefined)
      return refusal(403, 'faults are injected only where an admin token is asked for');
    const faults = faultsSchema.safeParse(await readJson(request));
    if (!faults.success) return refusal(400, z.prettifyError(faults.error));
    shop.repeats.faults.set(faults.data);
    shop.log(`faults: ${JSON.stringify(faults.data)}`);
    return { status: 200, body: { faults: faults.data } };
  },
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

export function statusOf({ sides, writers, repeats }: Shop) {
  const { acknowledged, failed, unknown, lastAcknowledgedAt, lastFailure, side, lastSwitch } = writers.counts;
  return {
    mode: sides.mode,
    active: sides.active,
    acknowledged,
    failed,
    unknown,
    lastAcknowledgedAt: lastAcknowledgedAt === undefined ? null : new Date(lastAcknowledgedAt).toISOString(),
    lastFailure: tell(lastFailure),
    // Of an earlier switch until the side that is active now has taken its first write: not told.
    lastSwitch: side === sides.active ? (lastSwitch ?? null) : null,
    dualWrite: {
      enabled: sides.dualWrite,
      repeated: repeats.counts.repeated,
      failedRepeats: repeats.counts.failedRepeats,
      lastFailure: tell(repeats.counts.lastFailure),
    },
  };
}

function tell(failure: { at: number; message: string } | undefined): { at: string; message: string } | null {
  return failure ? { at: new Date(failure.at).toISOString(), message: failure.message } : null;
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

/**
 * With dual write on, writers are held for the moment it takes; otherwise maintenance mode must be on.
 * @param failedRepeats when given, switches only if exactly so many repeats have failed: more than that were not made up for
 */
async function switchTo(shop: Shop, side: Side, failedRepeats: number | undefined): Promise<Answer> {
  const { sides, writers, repeats } = shop;
  if (sides.active === side) return { status: 200, body: statusOf(shop) };
  if (sides.mode !== 'maintenance' && !sides.dualWrite) {
    return refusal(409, 'writes are going on: turn maintenance mode on first');
  }
  await writers.pause();
  try {
    const failed = repeats.counts.failedRepeats;
    if (sides.dualWrite && failedRepeats !== undefined && failed !== failedRepeats) {
      return refusal(
        409,
        `${failed} repeats have failed by now, not ${failedRepeats}: compare the two sides once more`,
      );
    }
    sides.become({ active: side });
  } finally {
    if (sides.mode === 'normal') writers.resume();
  }
  if (!sides.dualWrite) sides.warm();
  shop.log(`writes go to the ${side}`);
  return { status: 200, body: statusOf(shop) };
}

/** A side that cannot be used would fail every repeat: said at once, before anything is changed. */
async function beginDualWrite(shop: Shop): Promise<Answer> {
  const { sides, writers } = shop;
  if (!sides.dualWrite) {
    const { healthy, tables = 0, error } = await sides.health(sides.other);
    if (!healthy) return refusal(503, `the ${sides.other} cannot be used: ${error}`);
    if (tables === 0) return refusal(409, `the ${sides.other} has no tables of the shop yet`);
    sides.become({ dualWrite: true });
    shop.log(`writes to the ${sides.active} are repeated on the ${sides.other}`);
  }
  await writers.settle();
  return { status: 200, body: statusOf(shop) };
}

async function endDualWrite(shop: Shop): Promise<Answer> {
  if (shop.sides.dualWrite) shop.log(`writes go to the ${shop.sides.active} alone`);
  shop.sides.become({ dualWrite: false });
  await shop.writers.settle();
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
