// The proof that the data is equal: every row of every table, every column, digested in both databases at once and compared by table;
// unequal tables are taken apart down to their keys.
import type { TableRecord, ValidationRecord } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresDependencies } from '../../dependencies';
import { valueSettings } from '../copy/copy-format';
import { requireLedger } from '../ledger';
import type { PostgresScope } from '../scope';
import { matchesPattern } from '../tables';
import { findDifferences } from './bisect';
import { judge, tableRecordOf, type Verdict } from './compare';
import { createMaterializedViewActivities } from './materialized-views';
import { digestDdl, forgetFailures, openPieces, planPieces, readTotals } from './pieces';
import { readPieces, unreadable } from './read-pieces';
import { recordsOf } from './records';
import { identityOf, listRelations, type Relation } from './relations';
import { usableHash } from './row-digest';

const tablesListed = 100;
/** Unequal tables taken apart down to keys; of the others only the counts are told. */
const tablesTakenApart = 20;

export interface CompareTablesInput {
  scope: PostgresScope;
  /** Tables whose every row is digested; of the others only the rows are counted. */
  checksum: 'all' | string[];
  /** Sessions on each side. */
  lanes: number;
  /** One validation: the same attempt goes on where it was killed, another one reads everything anew. */
  attempt: string;
  /** false: unequal tables are not taken apart down to their keys; for a comparison of moving data, of which only the time counts. */
  takeApart?: boolean;
  /** `schema.table` of those that are compared in another way; the records tell. */
  except?: string[];
}

export interface ComparedTables {
  records: ValidationRecord[];
  /** The 100 biggest. */
  tables: TableRecord[];
  tablesNotListed: number;
  unequal: number;
  /** `compared-tables.json`: every table. */
  artifact: ArtifactReference;
}

export function createDigestActivities(dependencies: PostgresDependencies) {
  const { connections, artifacts } = dependencies;
  return {
    ...createMaterializedViewActivities(dependencies),

    /**
     * Exact counts of all selected tables, and the digest of every row of those in `checksum`, on both sides.
     * What differs or could not be read is in the records; that is a result, not an error.
     * @throws SourceUnavailable, TargetUnavailable (retryable; goes on from what was read); TargetConflict when the ledger is gone
     */
    async compareTables({
      scope,
      checksum,
      lanes,
      attempt,
      takeApart = true,
      except = [],
    }: CompareTablesInput): Promise<ComparedTables> {
      const started = Date.now();
      return withHeartbeat({ tablesDone: 0, tablesTotal: 0, bytesDone: 0, bytesTotal: 0 }, (beat) => {
        const session = { purpose: 'compare tables', signal: beat.signal, settings: { ...valueSettings } };
        return connections.withSession(scope.source, { ...session, side: 'source' }, (source) =>
          connections.withSession(scope.target, { ...session, side: 'target' }, async (target) => {
            await requireLedger(target, scope.migration);
            await target.query(digestDdl);
            const selected = await listRelations(source, scope);
            const here = ({ schema, name }: Relation): boolean => !except.includes(`${schema}.${name}`);
            const relations = {
              source: selected.filter(here),
              target: (await listRelations(target, scope)).filter(here),
            };
            const hash = (await usableHash(source)) === 'md5' ? await usableHash(target) : 'sha256';
            await planPieces(
              target,
              attempt,
              [
                { side: 'source', relations: relations.source, version: await versionOf(source) },
                { side: 'target', relations: relations.target, version: await versionOf(target) },
              ],
              (relation) =>
                checksum === 'all' ||
                checksum.some((pattern) => matchesPattern(pattern, relation.schema, relation.name)),
            );
            await forgetFailures(target, attempt);
            const pieces = await openPieces(target, attempt);
            const progress = progressOf(pieces);
            await readPieces(pieces, {
              connections,
              scope,
              attempt,
              lanes,
              hash,
              signal: beat.signal,
              ledger: target,
              relations,
              onDone: (piece) => beat.report(progress.done(piece)),
            });
            const verdicts = judge(await readTotals(target, attempt));
            const details = new Map<string, string[]>();
            for (const { verdict, relation } of takeApart ? toTakeApart(verdicts, relations.source) : []) {
              try {
                const rows = Math.max(Number(verdict.sourceRows ?? 0), Number(verdict.targetRows ?? 0));
                details.set(identityOf(verdict), await findDifferences(source, target, relation, rows, hash));
              } catch (error) {
                const { reason } = unreadable(error);
                if (reason === undefined) throw error;
                details.set(identityOf(verdict), [
                  `${verdict.table} ${verdict.why ?? 'differs'}; its rows could not be looked at: ${reason}`,
                ]);
              }
            }
            const tables = verdicts.map(tableRecordOf).sort((left, right) => right.bytes - left.bytes);
            const content = { tables, verdicts, differences: [...details.values()].flat() };
            return {
              records: [
                ...recordsOf(verdicts, details, Date.now() - started).map((record) => telling(record, except)),
                ...unmatched(checksum, selected),
              ],
              tables: tables.slice(0, tablesListed),
              tablesNotListed: Math.max(0, tables.length - tablesListed),
              unequal: verdicts.filter(({ outcome }) => outcome === 'unequal').length,
              artifact: await artifacts.put(
                scope.migration,
                'compared-tables.json',
                `${JSON.stringify(content, undefined, 1)}\n`,
              ),
            };
          }),
        );
      });
    },
  };
}

/** `server_version_num` */
export async function versionOf(client: { query(sql: string): Promise<{ rows: unknown[] }> }): Promise<number> {
  const { rows } = await client.query(`select current_setting('server_version_num') as version`);
  const [row] = rows as { version: string }[];
  return Number(row?.version);
}

function toTakeApart(verdicts: Verdict[], relations: Relation[]): { verdict: Verdict; relation: Relation }[] {
  const byName = new Map(relations.map((relation) => [identityOf(relation), relation]));
  return verdicts
    .filter(({ outcome, comparable }) => outcome === 'unequal' && comparable)
    .slice(0, tablesTakenApart)
    .flatMap((verdict) => {
      const relation = byName.get(identityOf(verdict));
      return relation ? [{ verdict, relation }] : [];
    });
}

/** So that nobody takes the counts and digests for those of all tables. */
function telling(record: ValidationRecord, except: string[]): ValidationRecord {
  if (except.length === 0 || record.outcome !== 'pass' || record.target === undefined) return record;
  return { ...record, target: `${record.target}; without ${except.length} tables that are transformed` };
}

/** A pattern that names no table proves nothing. */
export function unmatched(
  checksum: 'all' | string[],
  relations: { schema: string; name: string }[],
): ValidationRecord[] {
  if (checksum === 'all') return [];
  return checksum
    .filter((pattern) => !relations.some(({ schema, name }) => matchesPattern(pattern, schema, name)))
    .map((pattern) => ({
      name: `row digests of ${pattern}`,
      outcome: 'unverifiable' as const,
      durationMs: 0,
      differences: [`no table of the source matches ${pattern}`],
    }));
}

function progressOf(pieces: { side: string; schema: string; name: string; bytes: number }[]) {
  const tableOf = (piece: { side: string; schema: string; name: string }): string =>
    `${piece.side} ${identityOf(piece)}`;
  const open = new Map<string, number>();
  for (const piece of pieces) open.set(tableOf(piece), (open.get(tableOf(piece)) ?? 0) + 1);
  const state = {
    tablesDone: 0,
    tablesTotal: open.size,
    bytesDone: 0,
    bytesTotal: pieces.reduce((sum, { bytes }) => sum + bytes, 0),
  };
  return {
    done(piece: { side: string; schema: string; name: string; bytes: number }) {
      const left = (open.get(tableOf(piece)) ?? 1) - 1;
      open.set(tableOf(piece), left);
      if (left === 0) state.tablesDone += 1;
      state.bytesDone += piece.bytes;
      return { ...state };
    },
  };
}
