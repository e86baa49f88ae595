// Rows of both sides added up in buckets by the hash of their key: where the sums are the same the rows are the same. Fixed memory
// whatever the table: 24 bytes a bucket, at most 2^16 buckets in the first cut and 2^20 in finer ones.
import type { WritingSide } from '../stream/names';

const coarsestBits = 4;
const finestFirstBits = 16;
const rowsInBucket = 128;
/** 2^20 buckets, shared out over those that are cut finer. */
const refinedBits = 20;
/** As far as the first 32 bits of a hash go, kept positive. */
const lastBits = 31;

/** Sums of one side for all buckets together. */
export interface Total {
  rows: bigint;
  high: bigint;
  low: bigint;
}

/** Bits of the first cut, so that a bucket holds some hundred rows while there are no more than 2^16. */
export function firstBits(rows: number): number {
  const bits = Math.ceil(Math.log2(Math.max(1, rows) / rowsInBucket));
  return Math.min(finestFirstBits, Math.max(coarsestBits, bits));
}

export class BucketSums {
  readonly totals: Record<WritingSide, Total> = {
    source: { rows: 0n, high: 0n, low: 0n },
    target: { rows: 0n, high: 0n, low: 0n },
  };
  private readonly counts: Record<WritingSide, Uint32Array>;
  /** Source less target, modulo 2^64. */
  private readonly high: BigInt64Array;
  private readonly low: BigInt64Array;
  private readonly places: Map<number, number> | undefined;

  /** @param within the buckets of a coarser cut that are cut finer here */
  constructor(
    readonly bits: number,
    private readonly within?: { bits: number; buckets: number[] },
  ) {
    this.places = within && new Map(within.buckets.map((bucket, place) => [bucket, place]));
    const size = within ? within.buckets.length * 2 ** (bits - within.bits) : 2 ** bits;
    this.counts = { source: new Uint32Array(size), target: new Uint32Array(size) };
    this.high = new BigInt64Array(size);
    this.low = new BigInt64Array(size);
  }

  add(side: WritingSide, bucket: number, rows: string, high: string, low: string): void {
    const at = this.placeOf(bucket);
    const [highSum, lowSum] = [BigInt(high), BigInt(low)];
    const total = this.totals[side];
    total.rows += BigInt(rows);
    total.high += highSum;
    total.low += lowSum;
    const counts = this.counts[side];
    counts[at] = (counts[at] ?? 0) + Number(rows);
    const sign = side === 'source' ? 1n : -1n;
    this.high[at] = (this.high[at] ?? 0n) + sign * highSum;
    this.low[at] = (this.low[at] ?? 0n) + sign * lowSum;
  }

  /** Buckets whose rows are not the same on both sides, and how many rows the fuller side has in each; fewest rows first. */
  differing(): { bucket: number; rows: number }[] {
    const found: { bucket: number; rows: number }[] = [];
    const { source, target } = this.counts;
    for (let at = 0; at < this.high.length; at += 1) {
      const [here, there] = [source[at] ?? 0, target[at] ?? 0];
      if (here === there && this.high[at] === 0n && this.low[at] === 0n) continue;
      found.push({ bucket: this.bucketAt(at), rows: Math.max(here, there) });
    }
    return found.sort((one, other) => one.rows - other.rows);
  }

  private placeOf(bucket: number): number {
    if (!this.within || !this.places) return bucket;
    const finer = this.bits - this.within.bits;
    const place = this.places.get(bucket >> finer);
    if (place === undefined) throw new Error(`bucket ${bucket} was not asked for`);
    return place * 2 ** finer + (bucket & (2 ** finer - 1));
  }

  private bucketAt(at: number): number {
    if (!this.within) return at;
    const finer = 2 ** (this.bits - this.within.bits);
    return (this.within.buckets[Math.floor(at / finer)] ?? 0) * finer + (at % finer);
  }
}

/** The bits of a finer cut of so many buckets; undefined when they cannot be cut any finer. */
export function finerBits(bits: number, buckets: number): number | undefined {
  const finer = Math.min(lastBits, bits + Math.floor(Math.log2(2 ** refinedBits / Math.max(1, buckets))));
  return finer >= bits + 2 ? finer : undefined;
}
