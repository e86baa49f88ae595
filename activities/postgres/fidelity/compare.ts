// Whether the target has the source's schema: every property of every object, after levelling what only the versions
// differ in, and after asking the target how it would write the source's definitions. The grantor of a membership in a role is
// not compared: it becomes the role that migrates. That of a privilege is, as the catalogs record it.
import type { Client } from 'pg';
import type { Transformation } from '../../../plan/transformations';
import type { Catalog, CatalogObject } from './catalog';
import { compareCatalogs, describe, type Difference } from './changes';
import { findSameMeaning } from './deparse';
import { followsFrom } from './transformed';

export interface Fidelity {
  /** Properties that were compared. */
  compared: number;
  /** Known and harmless, or accepted by the plan; each with its reason. */
  accepted: string[];
  /** `identity: property: source …, target …`, all of them. */
  differences: string[];
  /** Entries of `accept` that no difference answered to: misspelt, or mended since. */
  unused: string[];
}

/**
 * Compares the catalogs; `target` is asked about definitions that differ as text, and is left as it was.
 * @param accept what may differ: identity (`index public.a`), identity and property (`index public.a: definition`), or a whole line of `differences`
 */
export async function compareSchemas(
  source: Catalog,
  targetCatalog: Catalog,
  target: Client,
  accept: string[],
  transformations: Transformation[] = [],
): Promise<Fidelity> {
  const oldest = Math.min(source.major, targetCatalog.major);
  const unquote = unquoting(source, targetCatalog);
  const left = unquote(levelled(source, oldest));
  const right = unquote(levelled(targetCatalog, oldest));
  const all = compareCatalogs(left, right);
  const same = await findSameMeaning(target, all, right);
  const accepted: string[] = [];
  const differences: string[] = [];
  const used = new Set<string>();
  for (const difference of all) {
    if (same.has(difference)) continue;
    const text = describe(difference, 'source', 'target');
    const entries = accept.filter((entry) => answersTo(entry, difference, text));
    for (const entry of entries) used.add(entry);
    const reason =
      entries.length > 0
        ? 'accepted by the plan'
        : followsFrom(transformations, difference, left, right)
          ? `by the plan's transformations`
          : harmlessBecause(difference, left);
    if (reason === undefined) differences.push(text);
    else accepted.push(`${text} (${reason})`);
  }
  const unused = accept.filter((entry) => !used.has(entry));
  return { compared: countProperties(left), accepted, differences, unused };
}

/** What the newer version has and the older cannot have is left out on both sides. */
function levelled(catalog: Catalog, oldest: number): Catalog {
  const objects = Object.entries(catalog.objects).flatMap(([identity, object]): [string, CatalogObject][] => {
    if (oldest < 18 && object.family === 'not-null constraint') return [];
    const { privileges } = object.properties;
    if (oldest >= 17 || privileges === undefined) return [[identity, object]];
    const known = privileges.split('\n').filter((line) => !/=MAINTAIN\*?\/[^=]*$/.test(line));
    return [[identity, { ...object, properties: { ...object.properties, privileges: known.join('\n') } }]];
  });
  return { ...catalog, objects: Object.fromEntries(objects) };
}

/** A name that only one of the versions has to quote, for instance json from 17 on, is written without quotes on both sides. */
function unquoting(one: Catalog, other: Catalog): (catalog: Catalog) => Catalog {
  const only = (left: Catalog, right: Catalog): string[] =>
    left.keywords.filter((word) => !right.keywords.includes(word));
  const words = [...only(one, other), ...only(other, one)];
  if (words.length === 0 || one.keywords.length === 0 || other.keywords.length === 0) return (catalog) => catalog;
  const quoted = new RegExp(`"(${words.join('|')})"`, 'g');
  const plain = (text: string): string => text.replaceAll(quoted, '$1');
  return (catalog) => ({
    ...catalog,
    objects: Object.fromEntries(
      Object.entries(catalog.objects).map(([identity, { family, relation, properties }]): [string, CatalogObject] => [
        plain(identity),
        {
          family,
          ...(relation === undefined ? {} : { relation: plain(relation) }),
          properties: Object.fromEntries(Object.entries(properties).map(([name, text]) => [name, plain(text)])),
        },
      ]),
    ),
  });
}

function answersTo(entry: string, { identity, property }: Difference, line: string): boolean {
  return entry === line || entry === identity || (property !== undefined && entry === `${identity}: ${property}`);
}

function harmlessBecause({ identity, property }: Difference, source: Catalog): string | undefined {
  const object = source.objects[identity];
  if (object?.family === 'extension' && property === 'version') {
    return 'each server has its own version of the extension';
  }
  if (object?.family === 'index' && property === undefined && object.properties['valid'] === 'f') {
    return 'the index is invalid on the source, so it serves nobody there, and was not built';
  }
  return undefined;
}

function countProperties({ objects }: Catalog): number {
  return Object.values(objects).reduce((sum, { properties }) => sum + Object.keys(properties).length, 0);
}
