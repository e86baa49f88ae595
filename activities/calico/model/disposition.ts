// Where every key of the source ended, and why. The accounting is counted from this list alone, so that its sums cannot be wrong.
import type { CalicoAccounting, KindAccount } from '../../../journal/types';

/** Why something is not migrated, for those who may accept it. */
export type RefusalCategory =
  | 'unparseable'
  | 'user-profile'
  | 'node-without-kubernetes-node'
  | 'inexpressible-name'
  | 'node-status'
  | 'unknown'
  | 'collision'
  | 'missing-tier';

export interface Disposition {
  key: string;
  kind: string;
  fate: 'migrated' | 'derived' | 'refused';
  /** Set for what is derived or refused. */
  reason?: string;
  /** Set for what is refused. */
  category?: RefusalCategory;
}

/** Thrown where something turns out not to be migratable, and caught where its disposition is written. */
export class Refused extends Error {
  override name = 'Refused';

  constructor(
    readonly category: RefusalCategory,
    readonly reason: string,
  ) {
    super(reason);
  }
}

const listed = 50;

/** One disposition for each key, in the order of the keys. */
export class Ledger {
  private readonly fates: Disposition[] = [];

  /** @param keys with the kind of each: everything that has to be accounted for */
  constructor(private readonly keys: readonly { key: string; kind: string }[]) {}

  /** @throws Error when the key has its disposition already: a defect */
  settle(index: number, fate: Pick<Disposition, 'fate' | 'reason' | 'category'>): void {
    const entry = this.keys[index];
    if (!entry || this.fates[index])
      throw new Error(`Defect: key ${index} (${entry?.key ?? 'unknown'}) was accounted for twice.`);
    this.fates[index] = { key: entry.key, kind: entry.kind, ...fate };
  }

  refuse(index: number, { category, reason }: Pick<Refused, 'category' | 'reason'>): void {
    this.settle(index, { fate: 'refused', reason, category });
  }

  isSettled(index: number): boolean {
    return this.fates[index] !== undefined;
  }

  isRefused(index: number, category: RefusalCategory): boolean {
    return this.fates[index]?.category === category;
  }

  /** @throws Error when a key has no disposition: a defect */
  close(): Disposition[] {
    return this.keys.map(({ key }, index) => {
      const fate = this.fates[index];
      if (!fate) throw new Error(`Defect: ${key} was not accounted for.`);
      return fate;
    });
  }
}

/** The accounting of these dispositions; lists hold the first fifty. */
export function accountFor(
  revision: string,
  dispositions: readonly Disposition[],
  remarks: readonly string[],
): CalicoAccounting {
  const kinds = new Map<string, KindAccount>();
  for (const { kind, fate } of dispositions) {
    const account = kinds.get(kind) ?? { kind, source: 0, migrated: 0, derived: 0, refused: 0 };
    kinds.set(kind, account);
    account.source += 1;
    account[fate] += 1;
  }
  const refused = dispositions.filter(({ fate }) => fate === 'refused');
  return {
    revision,
    kinds: [...kinds.values()].sort((left, right) => (left.kind < right.kind ? -1 : 1)),
    refused: refused.slice(0, listed).map(({ key, reason = '' }) => ({ key, reason })),
    refusedNotListed: Math.max(0, refused.length - listed),
    remarks: shortened(remarks),
  };
}

/** RefusalCategory -> how many. */
export function countRefused(dispositions: readonly Disposition[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { category } of dispositions) if (category) counts[category] = (counts[category] ?? 0) + 1;
  return counts;
}

function shortened(remarks: readonly string[]): string[] {
  if (remarks.length <= listed) return [...remarks];
  return [...remarks.slice(0, listed - 1), `and ${remarks.length - listed + 1} more`];
}
