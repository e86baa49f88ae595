// One table brought to what the source holds in one snapshot. Everything is taken out before anything is put in, so that unique values
// may change hands; what is put in waits in a temporary table. The keys of both sides are added up in buckets, and what is taken out
// or staged is added to the target's sums: sums that are equal in the end are the proof that no row is missing, left over or there twice.
import type { Client } from 'pg';
import { failure } from '../../errors';
import { on } from '../copy/copy-errors';
import { streamRows } from '../copy/copy-stream';
import type { Pages } from '../digest/row-digest';
import { nameOf, type Relation } from '../digest/relations';
import { quoteIdentifier, quoteQualified } from '../identifier';
import { BucketSums, finerBits, firstBits } from '../moving/bucket-sums';
import type { Hashing } from './hashing';
import type { PageRanges } from './ranges';
import { silenceTable } from './silence';
import {
  copyRowsSql,
  createTempSql,
  deleteSql,
  inBuckets,
  insertStagedSql,
  isSameAsStaged,
  keyIn,
  keys,
  stage,
  sumsSql,
  whereSql,
  type Buckets,
  type SumRow,
} from './sql';

/** Buckets with more rows than this are cut finer before their rows are copied. */
const rowsWorthCutting = 256;
/** Without a key they are all written anew, the unchanged ones as well. */
const rowsWorthCuttingWithoutKey = 8;

/** A table as it is compared and carried. */
export interface PassSubject {
  /** The copied columns, generated ones left out, and the key. */
  relation: Relation;
  /** As they travel. */
  columns: string[];
  format: 'binary' | 'text';
  /** Operators of the key's columns. */
  equality: string[];
  /** Estimated. */
  rows: number;
}

export interface TableSessions {
  /** In a repeatable-read transaction. */
  source: Client;
  /** In a transaction. */
  target: Client;
  hashing: Hashing;
  ranges: PageRanges;
  /** Resolves when the source has room. */
  relax: () => Promise<void>;
  onBytes: (bytes: number) => Promise<void> | undefined;
}

export class TablePass {
  private rows = 0;
  private deleted = 0;
  private bytes = 0;
  private staged = 0;
  private isStaging = false;
  private putBack?: () => Promise<void>;

  constructor(
    private readonly subject: PassSubject,
    private readonly sessions: TableSessions,
  ) {}

  /**
   * Brings rows for which the condition holds, and takes out those whose key the source does not have. Needs a key. `isIndexed`: the source
   * finds them by an index, so that they are asked for at once and not part by part.
   */
  async bringChanged(condition: string, { isIndexed }: { isIndexed: boolean }): Promise<void> {
    const relation = keysOnly(this.subject.relation);
    const bits = firstBits(this.subject.rows);
    const sums = new BucketSums(bits);
    const counting = this.sumsOfTarget(relation, bits);
    counting.catch(() => undefined);
    if (isIndexed) {
      await counting;
      await this.sessions.relax();
      await this.stageRows({}, condition);
    }
    const changed = isIndexed ? undefined : condition;
    await this.inRanges(async (pages) => {
      const found = await this.readSource(sumsSql(relation, { hashing: this.sessions.hashing, bits, pages, changed }));
      add(sums, 'source', found);
      if (changed === undefined || found.every((row) => row.changed === '0')) return;
      await counting;
      await this.stageRows(pages, changed);
    });
    add(sums, 'target', await counting);
    if (this.staged > 0) {
      await this.analyze(stage);
      subtract(sums, await this.takeOut(relation, bits, keyIn(relation, this.subject.equality, stage)));
      add(
        sums,
        'target',
        await this.readTarget(
          sumsSql({ ...relation, ...stage, condition: undefined }, { hashing: this.sessions.hashing, bits }),
        ),
      );
    }
    await this.takeOutGone(relation, sums);
  }

  /** Brings rows that differ, found by comparing all. Without a key all rows of a bucket that differs are brought. */
  async bringDifferent(): Promise<void> {
    const { relation, equality } = this.subject;
    const worthCutting = relation.key ? rowsWorthCutting : rowsWorthCuttingWithoutKey;
    let bits = firstBits(this.subject.rows);
    let differing = (await this.compare(new BucketSums(bits))).differing();
    for (;;) {
      const finer = finerBits(bits, differing.length);
      if (finer === undefined || rowsOf(differing) <= differing.length * worthCutting) break;
      const within = { bits, buckets: differing.map(({ bucket }) => bucket) };
      differing = (await this.compare(new BucketSums(finer, within), within)).differing();
      bits = finer;
    }
    if (differing.length === 0) return;
    const within = this.within(relation, bits, differing);
    if (!relation.key) {
      const gone = countOf(await this.takeOut(relation, bits, within));
      await this.stageInRanges(within);
      this.deleted += Math.max(0, gone - this.staged);
      return;
    }
    await this.stageInRanges(within);
    await this.analyze(stage);
    const known = keyIn(relation, equality, stage);
    this.deleted += countOf(await this.takeOut(relation, bits, `${within} and not ${known}`));
    await this.takeOut(relation, bits, `${within} and not ${isSameAsStaged(relation, equality, within)}`);
    await this.unstage(keyIn({ ...relation, ...stage }, equality, relation));
  }

  /** Puts in what is staged, and gives what the pass has done. To be called once, after the last read of the source. @throws VerificationMismatch */
  async putIn(): Promise<{ rows: number; deleted: number; bytes: number }> {
    const { relation, columns } = this.subject;
    if (this.staged > 0) {
      await this.silence();
      const { rowCount } = await this.sessions.target.query(insertStagedSql(relation, columns));
      if (rowCount !== this.staged) {
        throw failure(
          'VerificationMismatch',
          `Of ${this.staged} changed rows of ${nameOf(relation)} the target took ${rowCount ?? 0}. Look for triggers or rules on the target's table that refuse rows, and retry.`,
        );
      }
      this.rows = this.staged;
    }
    await this.putBack?.();
    return { rows: this.rows, deleted: this.deleted, bytes: this.bytes };
  }

  /** Of the buckets that still differ the source's keys are fetched, and rows without one of them are taken out. What differs even then is copied anew. */
  private async takeOutGone(relation: Relation, sums: BucketSums): Promise<void> {
    const { bits } = sums;
    let differing = sums.differing();
    if (differing.length === 0) return;
    const { target, hashing } = this.sessions;
    const { format, equality } = this.subject;
    const names = relation.columns.map(({ name }) => name);
    const within = this.within(relation, bits, differing);
    await target.query(createTempSql(keys, relation, names));
    await this.inRanges((pages) =>
      this.stream(copyRowsSql(relation, names, format, pages, within), keys, names).then(() => undefined),
    );
    await this.analyze(keys);
    const gone = await this.takeOut(relation, bits, `${within} and not ${keyIn(relation, equality, keys)}`);
    this.deleted += countOf(gone);
    subtract(sums, gone);
    differing = sums.differing();
    if (differing.length === 0) return;
    const left = this.within(relation, bits, differing);
    if (this.staged > 0) await this.unstage(inBuckets({ ...relation, ...stage }, hashing, bucketsOf(bits, differing)));
    await this.takeOut(relation, bits, left);
    await this.stageInRanges(left);
  }

  private async compare(sums: BucketSums, coarser?: Buckets): Promise<BucketSums> {
    const { relation } = this.subject;
    const { hashing } = this.sessions;
    const { bits } = sums;
    const within = coarser && inBuckets(relation, hashing, coarser);
    const counting = this.sumsOfTarget(relation, bits, within);
    counting.catch(() => undefined);
    await this.inRanges(async (pages) => {
      add(sums, 'source', await this.readSource(sumsSql(relation, { hashing, bits, pages, within })));
    });
    add(sums, 'target', await counting);
    return sums;
  }

  /** Page range by page range, as long as the source has room. */
  private async inRanges(work: (pages: Pages) => Promise<void>): Promise<void> {
    const { ranges, relax } = this.sessions;
    const { condition, pages: size } = this.subject.relation;
    // Rows chosen by a condition are few, and are read at once.
    for (const { pages, took } of ranges.of(condition === undefined ? size : 0)) {
      await relax();
      const began = performance.now();
      await work(pages);
      took(performance.now() - began);
    }
  }

  private async stageInRanges(condition: string): Promise<void> {
    await this.inRanges((pages) => this.stageRows(pages, condition));
  }

  private async stageRows(pages: Pages, condition: string): Promise<void> {
    const { relation, columns, format } = this.subject;
    if (!this.isStaging) {
      await this.sessions.target.query(createTempSql(stage, relation, columns));
      this.isStaging = true;
    }
    this.staged += await this.stream(copyRowsSql(relation, columns, format, pages, condition), stage, columns);
  }

  private async stream(out: string, into: { schema: string; name: string }, columns: string[]): Promise<number> {
    const { source, target, onBytes } = this.sessions;
    const { relation, format } = this.subject;
    const list = columns.length === 0 ? '' : ` (${columns.map(quoteIdentifier).join(', ')})`;
    const { rowsOut, rowsIn, bytes } = await streamRows({
      source,
      target,
      out,
      into: `copy ${quoteQualified(into.schema, into.name)}${list} from stdin (format ${format})`,
      onBytes,
    });
    if (rowsOut !== rowsIn || Number.isNaN(rowsIn)) {
      throw failure(
        'VerificationMismatch',
        `Of ${nameOf(relation)} the source sent ${rowsOut} rows and the target took ${rowsIn}. Retry the step; look at the logs of both servers when that does not help.`,
      );
    }
    this.bytes += bytes;
    return rowsIn;
  }

  /** Deletes from the target's table, and gives the sums of what is gone. */
  private async takeOut(relation: Relation, bits: number, condition: string): Promise<SumRow[]> {
    await this.silence();
    return this.readTarget(deleteSql(relation, this.sessions.hashing, bits, condition));
  }

  private async unstage(condition: string): Promise<void> {
    const { rowCount } = await this.sessions.target.query(
      `delete ${whereSql({ ...this.subject.relation, ...stage, condition: undefined }, {}, [condition])}`,
    );
    this.staged -= rowCount ?? 0;
  }

  private async silence(): Promise<void> {
    this.putBack ??= await silenceTable(this.sessions.target, this.subject.relation);
  }

  private async analyze({ schema, name }: { schema: string; name: string }): Promise<void> {
    await this.sessions.target.query(`analyze ${quoteQualified(schema, name)}`);
  }

  private within(relation: Relation, bits: number, differing: { bucket: number }[]): string {
    return inBuckets(relation, this.sessions.hashing, bucketsOf(bits, differing));
  }

  private sumsOfTarget(relation: Relation, bits: number, within?: string): Promise<SumRow[]> {
    return this.readTarget(sumsSql(relation, { hashing: this.sessions.hashing, bits, within }));
  }

  private async readSource(sql: string): Promise<SumRow[]> {
    return (await on('source', this.sessions.source.query<SumRow>(sql))).rows;
  }

  private async readTarget(sql: string): Promise<SumRow[]> {
    return (await on('target', this.sessions.target.query<SumRow>(sql))).rows;
  }
}

function keysOnly(relation: Relation): Relation {
  const key = relation.key ?? [];
  return { ...relation, columns: relation.columns.filter(({ name }) => key.includes(name)) };
}

function bucketsOf(bits: number, differing: { bucket: number }[]): Buckets {
  return { bits, buckets: differing.map(({ bucket }) => bucket) };
}

function rowsOf(differing: { rows: number }[]): number {
  return differing.reduce((sum, { rows }) => sum + rows, 0);
}

function countOf(sums: SumRow[]): number {
  return sums.reduce((sum, { rows }) => sum + Number(rows), 0);
}

function add(sums: BucketSums, side: 'source' | 'target', found: SumRow[]): void {
  for (const { bucket, rows, sum } of found) sums.add(side, Number(bucket), rows, sum, '0');
}

/** What is no longer on the target. */
function subtract(sums: BucketSums, gone: SumRow[]): void {
  for (const { bucket, rows, sum } of gone) {
    sums.add('target', Number(bucket), String(-BigInt(rows)), String(-BigInt(sum)), '0');
  }
}
