// In which order the post-data section is built: what takes long first and in parallel, the rest as the archive has it.
//
// 1. indexes, primary keys, unique and exclusion constraints, and whatever they need (a materialized view that itself needs a key)
// 2. partitions' indexes attached to their parents, which makes the parents' keys valid
// 3. foreign keys: they need the keys of 1 and 2
// 4. everything else in archive order: views that needed a key, triggers, policies, statistics, refreshes, publications
// 5. event triggers, so that they see nothing of all this
import type { ArchiveEntry } from './archive';

export interface PostDataOrder {
  keys: ArchiveEntry[];
  attachments: ArchiveEntry[];
  foreignKeys: ArchiveEntry[];
  /** Pieces of which each is one transaction. */
  rest: ArchiveEntry[][];
}

const inOneTransaction = 100;

/**
 * @param dependencies entry -> entries that must be there before it
 * @param leftOut entries that the selection of tables leaves out
 */
export function orderPostData(
  entries: ArchiveEntry[],
  dependencies: Map<string, string[]>,
  leftOut: ReadonlySet<string>,
): PostDataOrder {
  const wanted = entries.filter(({ id, kind }) => !leftOut.has(id) && kind !== 'STATISTICS DATA');
  const byId = new Map(wanted.map((entry) => [entry.id, entry]));
  const early = new Set<string>();
  const include = (id: string): void => {
    if (early.has(id) || !byId.has(id)) return;
    early.add(id);
    for (const need of dependencies.get(id) ?? []) include(need);
  };
  for (const { id, kind } of wanted) if (kind === 'INDEX' || kind === 'CONSTRAINT') include(id);

  const others = wanted.filter(({ id }) => !early.has(id));
  const last = new Set(others.filter(({ kind }) => kind === 'EVENT TRIGGER').map(({ id }) => id));
  const isLast = ({ id }: ArchiveEntry): boolean =>
    last.has(id) || (dependencies.get(id) ?? []).some((need) => last.has(need));
  const apart = new Set(['INDEX ATTACH', 'FK CONSTRAINT']);
  const middle = others.filter((entry) => !apart.has(entry.kind) && !isLast(entry));
  return {
    keys: wanted.filter(({ id }) => early.has(id)),
    attachments: others.filter(({ kind }) => kind === 'INDEX ATTACH'),
    foreignKeys: others.filter(({ kind }) => kind === 'FK CONSTRAINT'),
    rest: [...pieces(middle), ...pieces(others.filter(isLast))],
  };
}

const whatActs = ['TRIGGER', 'EVENT TRIGGER', 'RULE'];

/** Foreign keys and whatever needs one: comments on them, for instance; and, where asked for, whatever acts by itself on a write. */
export function foreignKeysAndDependents(
  entries: ArchiveEntry[],
  dependencies: Map<string, string[]>,
  triggersToo = false,
): Set<string> {
  const kinds = ['FK CONSTRAINT', ...(triggersToo ? whatActs : [])];
  const found = new Set(entries.filter(({ kind }) => kinds.includes(kind)).map(({ id }) => id));
  for (let known = -1; known < found.size;) {
    known = found.size;
    for (const { id } of entries) if ((dependencies.get(id) ?? []).some((need) => found.has(need))) found.add(id);
  }
  return found;
}

/** A refresh may take long and is a piece of its own; light entries go together. */
export function pieces(entries: ArchiveEntry[]): ArchiveEntry[][] {
  const result: ArchiveEntry[][] = [];
  let light: ArchiveEntry[] = [];
  const flush = (): void => {
    if (light.length > 0) result.push(light);
    light = [];
  };
  for (const entry of entries) {
    if (entry.kind === 'MATERIALIZED VIEW DATA') {
      flush();
      result.push([entry]);
    } else {
      light.push(entry);
      if (light.length === inOneTransaction) flush();
    }
  }
  flush();
  return result;
}
