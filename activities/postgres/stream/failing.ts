// A subscription that cannot apply a change tries again every few seconds for ever, and looks alive while it does. Here is noticed that it
// fails and gets nowhere, and found out which tables the transaction touches that it fails on: only the server's log has the reason.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { z } from 'zod';
import { failure } from '../../errors';
import { quoteLiteral } from '../identifier';
import type { Sides } from './sides';
import type { StreamLook } from './stream-look';

interface Seen {
  confirmed?: string;
  errors?: number;
  workerPid?: string;
  /** Workers that were there and are not any more. */
  gone: number;
}

/** Failures of each stream since it last came forward; fed with one look after the other. */
export class Attempts {
  private readonly seen = new Map<string, Seen>();

  /** How often the stream has failed since it last confirmed anything. */
  failures({ stream, slot, subscription }: StreamLook): number {
    const now = {
      confirmed: slot?.confirmedLsn,
      errors: subscription?.errors,
      workerPid: subscription?.workerPid,
    };
    const before = this.seen.get(stream.name);
    if (!before || before.confirmed !== now.confirmed) {
      this.seen.set(stream.name, { ...now, gone: 0 });
      return 0;
    }
    const gone = before.gone + (before.workerPid !== undefined && before.workerPid !== now.workerPid ? 1 : 0);
    this.seen.set(stream.name, { ...before, workerPid: now.workerPid, gone });
    // Before 15 nothing counts errors, and workers that come and go are the only sign.
    return now.errors === undefined ? gone : now.errors - (before.errors ?? now.errors);
  }
}

/** Looked through at most; always to the end of a transaction. */
const peekedChanges = 10_000;
const peekWithinMs = 5_000;

/**
 * Tables (`schema.table`) of the transaction that the stream stands at, the first ten; empty when that cannot be told now. Reads the slot
 * without moving it, between two attempts of the subscription.
 */
export async function tablesInTheWay(sides: Sides, { stream, subscription }: StreamLook): Promise<string[]> {
  if (!subscription) return [];
  const peek = `select encode(case when get_byte(data, 0) in (${rowKinds}) then substr(data, 1, 5) else data end, 'hex') as data
      from pg_logical_slot_peek_binary_changes(${quoteLiteral(stream.name)}, null, ${peekedChanges}, 'proto_version', '1', 'publication_names', ${quoteLiteral(stream.name)})`;
  const deadline = Date.now() + peekWithinMs;
  for (;;) {
    try {
      const applied = await appliedUpTo(sides[stream.to], stream.name);
      // In one message, so that nothing else of this session comes into its transaction.
      const answers: unknown = await sides[stream.from].query(`set local statement_timeout = ${peekWithinMs}; ${peek}`);
      return tablesOf(peekSchema.parse(answers)[1].rows, applied).slice(0, 10);
    } catch (error) {
      // The subscription is just trying, and holds the slot.
      const held = typeof error === 'object' && error !== null && 'code' in error && error.code === '55006';
      if (!held || Date.now() > deadline) return [];
      await sleep(10);
    }
  }
}

const peekSchema = z.tuple([z.unknown(), z.object({ rows: z.array(z.object({ data: z.string() })) })]);

async function appliedUpTo(following: ClientBase, name: string): Promise<bigint> {
  const { rows } = await following.query<{ lsn: string | null }>(
    `select pg_replication_origin_progress('pg_' || oid, false)::text as lsn from pg_subscription where subname = $1
        and exists (select from pg_replication_origin where roname = 'pg_' || oid)`,
    [name],
  );
  return lsnNumber(rows[0]?.lsn ?? '0/0');
}

/** `16/B374D848` as a number. */
export function lsnNumber(lsn: string): bigint {
  const [high = '0', low = '0'] = lsn.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

/** Of pgoutput: insert, update and delete begin with the number of their relation. */
const rowKinds = ['I', 'U', 'D'].map((kind) => kind.charCodeAt(0)).join(', ');

/** The tables of the first transaction that ends after what was applied. A relation is described once, before its first change. */
function tablesOf(messages: { data: string }[], applied: bigint): string[] {
  const names = new Map<number, string>();
  let touched = new Set<number>();
  for (const { data } of messages) {
    const bytes = Buffer.from(data, 'hex');
    switch (String.fromCharCode(bytes[0] ?? 0)) {
      case 'R': {
        const [schema = '', name = ''] = bytes.subarray(5).toString('utf8').split('\0');
        names.set(bytes.readUInt32BE(1), `${schema}.${name}`);
        break;
      }
      case 'I':
      case 'U':
      case 'D':
        touched.add(bytes.readUInt32BE(1));
        break;
      case 'T':
        for (let at = 6; at < bytes.length; at += 4) touched.add(bytes.readUInt32BE(at));
        break;
      case 'C':
        if (bytes.readBigUInt64BE(10) > applied) return [...touched].map((oid) => names.get(oid) ?? `table ${oid}`);
        touched = new Set();
    }
  }
  return [];
}

/** Who keeps the worker of a subscription waiting for a lock; one line, or undefined. */
export async function lockInTheWay(sides: Sides, { stream, subscription }: StreamLook): Promise<string | undefined> {
  if (subscription?.workerPid === undefined) return undefined;
  const { rows } = await sides[stream.to].query<{ line: string }>(
    `select format('its worker waits for a lock of pid %s: role %s, program %s, %s since %s', a.pid, a.usename, coalesce(nullif(a.application_name, ''), '(unnamed)'), a.state, date_trunc('second', a.xact_start)) as line
       from pg_stat_activity a where a.pid = any (pg_blocking_pids($1)) limit 1`,
    [subscription.workerPid],
  );
  return rows[0]?.line;
}

/** Whoever reads it must act: the stream fails on the same change again and again. */
export function cannotApply(look: StreamLook, failures: number, tables: string[]): Error {
  const { name, from, to } = look.stream;
  const conflicts = Object.entries(look.subscription?.conflicts ?? {})
    .map(([kind, count]) => `${kind} ${count}`)
    .join(', ');
  const what = tables.length > 0 ? `a transaction on ${tables.join(', ')}` : 'a change';
  return failure(
    'TargetConflict',
    `The ${to} cannot apply ${what} from the ${from}: the stream ${name} has failed ${failures} times on it${conflicts === '' ? '' : ` (conflicts: ${conflicts})`}. The server's log on the ${to} gives the reason and the row (look for ERROR lines with "replication origin" or ${quoteLiteral(name)}); something else has written there, or its schema is another. Mend that on the ${to}, then retry.`,
    { stream: name, tables },
  );
}
