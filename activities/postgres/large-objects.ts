// Large objects: same numbers, content, holes, owners, privileges and comments. They travel as pieces through COPY, so no object
// is ever held in memory; the ledger notes each in the transaction that makes it.
import type { Client } from 'pg';
import type { ValidationRecord } from '../../journal/types';
import { failure } from '../errors';
import { withHeartbeat } from '../heartbeat';
import type { PostgresDependencies } from '../dependencies';
import { copyFailure, on } from './copy/copy-errors';
import { streamRows } from './copy/copy-stream';
import { withCopySessions } from './copy/sessions';
import { quoteIdentifier, quoteLiteral } from './identifier';
import {
  describeObjects,
  listObjects,
  readSizes,
  type ObjectDescription,
  type SizedObject,
} from './large-object-catalog';
import { requireLedger } from './ledger';
import { ledgerSchema, type PostgresScope } from './scope';

/** A multiple of the page of a large object (2 kB); a piece that is all zeros is a hole and is not sent. */
const pieceBytes = 65_536;
/** What one transaction copies, unless a single object is larger. */
const batchBytes = 64 * 1_048_576;
const batchObjects = 500;
const differencesShown = 20;

const doneTable = `${ledgerSchema}.large_object`;

export function createLargeObjectActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Copies every large object of the source that the ledger does not know yet; gives the totals of all of them.
     * @throws TargetConflict when the target has an object of the same number that this migration did not make, or the ledger is gone
     */
    async copyLargeObjects({ scope }: { scope: PostgresScope }): Promise<{ objects: number; bytes: number }> {
      return withHeartbeat({ objectsDone: 0, objectsTotal: 0, bytesDone: 0 }, async (beat) => {
        const { signal } = beat;
        await connections.withSession(
          scope.target,
          { side: 'target', purpose: 'prepare large objects', signal },
          async (target) => {
            await requireLedger(target, scope.migration);
            await target.query(`create table if not exists ${doneTable} (oid oid primary key, bytes bigint not null)`);
          },
        );
        try {
          await withCopySessions(
            connections,
            { scope, purpose: 'copy large objects', signal },
            async (source, target) => {
              // Nobody comes back for objects that a crash takes away after this activity has answered.
              await target.query('set synchronous_commit = on');
              await target.query(`create temporary table piece (oid oid, at bigint, data bytea) on commit delete rows`);
              await target.query('alter table pg_temp.piece alter data set storage external');
              const all = await on('source', listObjects(source));
              const { rows: done } = await target.query<{ oid: string }>(`select oid from ${doneTable}`);
              const known = new Set(done.map(({ oid }) => oid));
              const todo = all.filter((oid) => !known.has(oid));
              let bytesDone = 0;
              for await (const batch of batches(source, todo)) {
                signal.throwIfAborted();
                await copyBatch(source, target, batch);
                for (const { oid, bytes } of batch) {
                  known.add(oid);
                  bytesDone += Number(bytes);
                }
                beat.report({ objectsDone: known.size, objectsTotal: all.length, bytesDone });
              }
            },
          );
        } catch (error) {
          signal.throwIfAborted();
          throw copyFailure(error, 'Copying large objects');
        }
        return connections.withSession(
          scope.target,
          { side: 'target', purpose: 'count large objects', signal },
          async (target) => {
            const { rows } = await target.query<{ objects: string; bytes: string }>(
              `select count(*) as objects, coalesce(sum(bytes), 0) as bytes from ${doneTable}`,
            );
            return { objects: Number(rows[0]?.objects), bytes: Number(rows[0]?.bytes) };
          },
        );
      });
    },

    /** Number, size, content, owner, privileges and comment of every large object on both sides. */
    async compareLargeObjects({ scope }: { scope: PostgresScope }): Promise<ValidationRecord> {
      const started = Date.now();
      return withHeartbeat({ objectsDone: 0, objectsTotal: 0 }, (beat) => {
        const session = { purpose: 'compare large objects', signal: beat.signal };
        return connections.withSession(scope.source, { ...session, side: 'source' }, (source) =>
          connections.withSession(scope.target, { ...session, side: 'target' }, async (target) => {
            const [here, there] = await Promise.all([listObjects(source), listObjects(target)]);
            const onSource = new Set(here);
            const all = [...here, ...there.filter((oid) => !onSource.has(oid))];
            const differences: string[] = [];
            for (let at = 0; at < all.length; at += batchObjects) {
              const batch = all.slice(at, at + batchObjects);
              const [left, right] = await Promise.all([describeObjects(source, batch), describeObjects(target, batch)]);
              differences.push(...batch.flatMap((oid) => differ(oid, left.get(oid), right.get(oid))));
              beat.report({ objectsDone: at + batch.length, objectsTotal: all.length });
            }
            const more = differences.length - differencesShown;
            return {
              name: 'large objects',
              source: `${here.length} objects`,
              target: `${there.length} objects`,
              outcome: differences.length === 0 ? ('pass' as const) : ('fail' as const),
              durationMs: Date.now() - started,
              ...(differences.length === 0
                ? {}
                : {
                    differences: [...differences.slice(0, differencesShown), ...(more > 0 ? [`and ${more} more`] : [])],
                  }),
            };
          }),
        );
      });
    },
  };
}

/**
 * Removes the objects that were copied under another fence than the one raised at `raisedAt`, so that they are copied anew; idempotent.
 * For copies that are repeated because writing went on in between.
 */
export async function forgetLargeObjects(target: Client, raisedAt: string): Promise<void> {
  await target.query(`create table if not exists ${doneTable} (oid oid primary key, bytes bigint not null)`);
  const { rows } = await target.query<{ last: string | null }>(
    `select obj_description('${doneTable}'::regclass, 'pg_class') as last`,
  );
  const mine = `copied under the fence of ${raisedAt}`;
  if (rows[0]?.last === mine) return;
  // In batches: each object that is unlinked holds a lock until the end of its transaction.
  for (;;) {
    const { rows: gone } = await target.query<{ objects: string }>(
      `with forgotten as (delete from ${doneTable} where oid in (select oid from ${doneTable} limit ${batchObjects}) returning oid)
       select count(*) as objects, count(u.unlinked)
         from forgotten f left join lateral (select lo_unlink(m.oid) as unlinked from pg_largeobject_metadata m where m.oid = f.oid) u on true`,
    );
    if (gone[0]?.objects === '0') break;
  }
  await target.query(`comment on table ${doneTable} is ${quoteLiteral(mine)}`);
}

/** Up to 500 objects and some 64 MiB at a time; one large one by itself. */
async function* batches(source: Client, oids: string[]): AsyncGenerator<SizedObject[]> {
  for (let at = 0; at < oids.length; at += batchObjects) {
    const sized = await on('source', readSizes(source, oids.slice(at, at + batchObjects)));
    let batch: SizedObject[] = [];
    let bytes = 0;
    for (const object of sized) {
      if (batch.length > 0 && bytes + Number(object.bytes) > batchBytes) {
        yield batch;
        batch = [];
        bytes = 0;
      }
      batch.push(object);
      bytes += Number(object.bytes);
    }
    if (batch.length > 0) yield batch;
  }
}

async function copyBatch(source: Client, target: Client, batch: SizedObject[]): Promise<void> {
  await target.query('begin');
  // Waits for another attempt that is at the same objects, and takes only what that one did not bring.
  const { rows: claimed } = await target.query<{ oid: string }>(
    `insert into ${doneTable} (oid, bytes) select * from unnest($1::oid[], $2::bigint[]) on conflict do nothing returning oid`,
    [batch.map(({ oid }) => oid), batch.map(({ bytes }) => bytes)],
  );
  const mine = new Set(claimed.map(({ oid }) => oid));
  const objects = batch.filter(({ oid }) => mine.has(oid));
  if (objects.length > 0) {
    const oids = objects.map(({ oid }) => oid);
    const { rows: taken } = await target.query<{ oid: string }>(
      'select oid from pg_largeobject_metadata where oid = any($1::oid[]) limit 1',
      [oids],
    );
    if (taken[0]) {
      throw failure(
        'TargetConflict',
        `The target has a large object ${taken[0].oid} that this migration did not make. Remove it (lo_unlink) if nobody needs it, and retry.`,
      );
    }
    await streamRows({
      source,
      target,
      out: piecesSql(objects),
      into: 'copy pg_temp.piece from stdin (format binary)',
    });
    await target.query(
      'select count(*) from (select lo_create(oid) from unnest($1::oid[]) as o(oid) offset 0) as made',
      [oids],
    );
    await target.query(
      'select count(*) from (select lo_put(oid, at, data) from pg_temp.piece order by oid, at offset 0) as put',
    );
    const descriptions = await on('source', describeObjects(source, oids, { content: false }));
    const statements = oids.flatMap((oid) => ownershipSql(oid, descriptions.get(oid)));
    if (statements.length > 0) await target.query(statements.join(';\n'));
  }
  await target.query('commit');
}

/** Pieces that hold something, and each object's last one, which gives it its size. */
function piecesSql(objects: SizedObject[]): string {
  const array = (values: string[]): string => quoteLiteral(`{${values.join(',')}}`);
  return `copy (
    select o.oid, p.at, d.data
    from unnest(${array(objects.map(({ oid }) => oid))}::oid[], ${array(objects.map(({ bytes }) => bytes))}::bigint[]) as o(oid, bytes)
    cross join lateral generate_series(0, o.bytes - 1, ${pieceBytes}) as p(at)
    cross join lateral (select lo_get(o.oid, p.at, ${pieceBytes}) as data offset 0) as d
    where d.data <> decode(repeat('00', ${pieceBytes}), 'hex') or p.at + ${pieceBytes} >= o.bytes
  ) to stdout (format binary)`;
}

function ownershipSql(oid: string, description: ObjectDescription | undefined): string[] {
  if (!description) return [];
  const { owner, grants, comment } = description;
  const object = `large object ${oid}`;
  const statements = [`alter ${object} owner to ${quoteIdentifier(owner)}`];
  if (grants) {
    statements.push(`revoke all on ${object} from public, ${quoteIdentifier(owner)}`);
    for (const { grantee, privilege, grantable } of grants) {
      const to = grantee === null ? 'public' : quoteIdentifier(grantee);
      statements.push(`grant ${privilege} on ${object} to ${to}${grantable ? ' with grant option' : ''}`);
    }
  }
  if (comment !== null) statements.push(`comment on ${object} is ${quoteLiteral(comment)}`);
  return statements;
}

function differ(oid: string, source: ObjectDescription | undefined, target: ObjectDescription | undefined): string[] {
  const object = `large object ${oid}`;
  if (!source) return target ? [`${object}: extra on the target`] : [];
  if (!target) return [`${object}: missing on the target`];
  const parts = [
    source.bytes === target.bytes ? '' : `size ${source.bytes} and ${target.bytes}`,
    source.digest === target.digest ? '' : 'content',
    source.owner === target.owner ? '' : `owner ${source.owner} and ${target.owner}`,
    source.privileges === target.privileges ? '' : `privileges ${source.privileges} and ${target.privileges}`,
    source.comment === target.comment ? '' : 'comment',
  ].filter(Boolean);
  return parts.length === 0 ? [] : [`${object}: ${parts.join(', ')} differ`];
}
