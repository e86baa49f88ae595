// Indexes, constraints and everything that comes after the rows, by a queue of our own over the archive. Each entry is built in
// one transaction with the ledger's row that says so: exactly once, whatever dies, and a later attempt goes on where it stopped.
import { ApplicationFailure } from '@temporalio/common';
import type { Client } from 'pg';
import type { ArtifactReference } from '../../artifacts/store';
import type { PostgresDependencies } from '../../dependencies';
import { failure, failureType } from '../../errors';
import { withHeartbeat } from '../../heartbeat';
import { ledgerSchema, type PostgresScope } from '../scope';
import { followIdentities } from '../stream/replica-identity';
import { SchemaArchive, type ArchiveEntry } from './archive';
import { BuildQueue } from './build-queue';
import { readPostDataFacts, type PostDataFacts } from './post-data-facts';
import { foreignKeysAndDependents, orderPostData, pieces } from './post-data-order';
import { runEntries } from './run-entries';
import { lockTargetSchema, refuseAfterClearing } from './target-lock';

export interface PostDataProgress {
  done: number;
  total: number;
  /** What is being built now: kind, schema, name. */
  building: string[];
}

export interface PostDataResult {
  indexes: number;
  constraints: number;
  others: number;
  /** Of this attempt. */
  durationMs: number;
}

export function createPostDataActivities({ connections, artifacts, tools }: PostgresDependencies) {
  return {
    /**
     * Builds the post-data section on the target with so many builds at once.
     * @throws PreconditionFailed, TargetConflict, AuthDenied naming the object and its statement; TargetUnavailable, SourceUnavailable (retryable)
     */
    async buildPostData({
      scope,
      archive: reference,
      lanes,
      foreignKeys = true,
      triggers = true,
    }: {
      scope: PostgresScope;
      archive: ArtifactReference;
      lanes: number;
      /** false, before tables are streamed into, leaves foreign keys to a later call, and gives tables the replica identities by which rows are found. */
      foreignKeys?: boolean;
      /** false, before an application writes to the tables as well, leaves triggers and rules to that later call too, and identities as they are. */
      triggers?: boolean;
    }): Promise<PostDataResult> {
      const startedAt = Date.now();
      const initial: PostDataProgress = { done: 0, total: 0, building: [] };
      return withHeartbeat(initial, async ({ signal, report }) => {
        const archive = await SchemaArchive.open(artifacts, tools, reference, signal);
        const entries = await archive.list('post-data');
        const dependencies = await archive.dependencies();
        const facts = await connections.withSession(
          scope.source,
          { side: 'source', purpose: 'post-data sizes', signal },
          (source) => readPostDataFacts(source, entries, scope.tables),
        );
        const later = foreignKeys ? [] : foreignKeysAndDependents(entries, dependencies, !triggers);
        const order = orderPostData(entries, dependencies, new Set([...facts.leftOut, ...later]));

        let done = 0;
        const total =
          order.keys.length + order.attachments.length + order.foreignKeys.length + order.rest.flat().length;
        const building = new Set<string>();
        const tell = (): void => report({ done, total, building: [...building].slice(0, 20) });
        const session = { side: 'target', purpose: 'post-data', signal } as const;

        const build = async (target: Client, piece: ArchiveEntry[]): Promise<void> => {
          const label = nameOf(piece);
          building.add(label);
          tell();
          try {
            await buildOnce(target, archive, piece);
            done += piece.length;
          } finally {
            building.delete(label);
            tell();
          }
        };
        const inLanes = (wanted: ArchiveEntry[]): Promise<void> =>
          new BuildQueue(wanted.map((entry) => asBuild(entry, facts, dependencies))).run(lanes, (builds) =>
            connections.withSession(scope.target, session, async (target) => {
              await prepareSession(target, lanes);
              for await (const entry of builds) await build(target, [entry]);
            }),
          );
        const inOrder = (wanted: ArchiveEntry[][]): Promise<void> =>
          connections.withSession(scope.target, session, async (target) => {
            await prepareSession(target, 1);
            for (const piece of wanted) await build(target, piece);
          });

        await connections.withSession(scope.target, session, createDoneTable);
        await inLanes(order.keys);
        await inOrder(pieces(order.attachments));
        await inLanes(order.foreignKeys);
        await inOrder(order.rest);
        if (!foreignKeys && triggers) {
          await connections.withSession(scope.target, session, (target) => followIdentities(target, signal));
        }
        const indexes = order.keys.filter(({ kind }) => kind === 'INDEX').length;
        const constraints = order.keys.filter(({ kind }) => kind === 'CONSTRAINT').length + order.foreignKeys.length;
        return { indexes, constraints, others: total - indexes - constraints, durationMs: Date.now() - startedAt };
      });
    },
  };
}

async function createDoneTable(target: Client): Promise<void> {
  await target.query('begin');
  await lockTargetSchema(target, 'alone');
  await refuseAfterClearing(target);
  await target.query(
    `create table if not exists ${ledgerSchema}.post_data (entry text primary key, done_at timestamptz not null default clock_timestamp())`,
  );
  await target.query('commit');
}

/** The pieces of what has been done already are skipped; one that another attempt is building right now is waited for. */
async function buildOnce(target: Client, archive: SchemaArchive, piece: ArchiveEntry[]): Promise<void> {
  await target.query('begin');
  try {
    await lockTargetSchema(target, 'shared');
    await refuseAfterClearing(target);
    const { rows } = await target.query<{ entry: string }>(
      `insert into ${ledgerSchema}.post_data (entry) select unnest($1::text[]) on conflict do nothing returning entry`,
      [piece.map(keyOf)],
    );
    const mine = new Set(rows.map(({ entry }) => entry));
    const wanted = piece.filter((entry) => mine.has(keyOf(entry)));
    if (wanted.length > 0) await runEntries(target, archive, wanted, { rewrite: withRowSecurity(piece) });
    await target.query('commit');
  } catch (error) {
    await target.query('rollback').catch(() => undefined);
    throw (await isMoving(target)) ? notYetConsistent(error) : error;
  }
}

/** Whether streams bring rows, each group's in its own time. */
async function isMoving(target: Client): Promise<boolean> {
  const groups = `${ledgerSchema}.copy_group`;
  const { rows } = await target
    .query<{ there: string | null }>(`select to_regclass('${groups}')::text as there`)
    .catch(() => ({ rows: [] }));
  return Boolean(rows[0]?.there) && Boolean((await target.query(`select from ${groups} limit 1`)).rowCount);
}

/** A row may refer to one that another stream is still to bring; on the source the key holds. */
function notYetConsistent(error: unknown): unknown {
  if (!(error instanceof ApplicationFailure) || failureType(error) !== 'TargetConflict') return error;
  const [details] = error.details ?? [];
  const { sqlState } = (details ?? {}) as { sqlState?: string };
  if (sqlState !== '23503') return error;
  const told = error.message.replace(/(\(SQLSTATE 23503\)\.).*$/s, '$1');
  return failure(
    'NotReadyYet',
    `${told} Streams may still be bringing the rows that it needs. It is tried again by itself; compare the two tables when that lasts.`,
    { sqlState },
  );
}

/** With row security off, a refresh of a view over a table with policies is refused; on the source the policies applied to it. */
function withRowSecurity(piece: ArchiveEntry[]): (sql: string) => string {
  if (!piece.some(({ kind }) => kind === 'MATERIALIZED VIEW DATA')) return (sql) => sql;
  return (sql) => sql.replace(/^SET row_security = off;$/m, 'SET row_security = on;');
}

function asBuild(entry: ArchiveEntry, facts: PostDataFacts, dependencies: Map<string, string[]>) {
  const { tables = [], exclusive = true, bytes = 0 } = facts.builds.get(entry.id) ?? {};
  return { id: entry.id, needs: dependencies.get(entry.id) ?? [], tables, exclusive, weight: bytes, work: entry };
}

/** A gigabyte for all lanes together, unless the server is set to more. */
async function prepareSession(target: Client, lanes: number): Promise<void> {
  const bytes = Math.floor(2 ** 30 / Math.max(1, lanes));
  await target.query(
    `select set_config('maintenance_work_mem', greatest(pg_size_bytes(current_setting('maintenance_work_mem')), $1::bigint) / 1024 || 'kB', false),
       set_config('max_parallel_maintenance_workers', least(current_setting('max_parallel_maintenance_workers')::integer, $2::integer)::text, false)`,
    [bytes, lanes > 1 ? 1 : 2],
  );
}

/** Entries without an oid (comments, refreshes of nothing) are told apart by their number in the archive. */
function keyOf({ id, kind, oid }: ArchiveEntry): string {
  return `${id} ${kind} ${oid}`;
}

function nameOf([first, ...others]: ArchiveEntry[]): string {
  if (!first) return 'nothing';
  const name = `${first.kind} ${first.label}`.slice(0, 120);
  return others.length > 0 ? `${name} and ${others.length} more` : name;
}
