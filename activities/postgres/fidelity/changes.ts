// Two catalogs side by side, as text: for two looks at the same server, where text is exact.
import { volatileFamilies, type Catalog } from './catalog';

export interface Difference {
  /** `index public.orders_pkey` */
  identity: string;
  /** Undefined when the whole object is there on one side only. */
  property?: string;
  /** Undefined: not there. */
  left?: string;
  right?: string;
}

/** Every difference, in order of identity. Objects on one side only are one difference, not one a property. */
export function compareCatalogs(left: Catalog, right: Catalog): Difference[] {
  const identities = [...new Set([...Object.keys(left.objects), ...Object.keys(right.objects)])].sort();
  return identities.flatMap((identity): Difference[] => {
    const one = left.objects[identity]?.properties;
    const other = right.objects[identity]?.properties;
    if (!one || !other) return [{ identity, ...(one && { left: 'exists' }), ...(other && { right: 'exists' }) }];
    return [...new Set([...Object.keys(one), ...Object.keys(other)])]
      .sort()
      .filter((property) => one[property] !== other[property])
      .map((property) => ({ identity, property, left: one[property], right: other[property] }));
  });
}

/** What has changed between two looks at one server; rows that live in catalogs (large objects) are left out. */
export function changesBetween(before: Catalog, after: Catalog, names: { before: string; after: string }): string[] {
  return compareCatalogs(before, after)
    .filter(({ identity }) => {
      const family = (before.objects[identity] ?? after.objects[identity])?.family;
      return family === undefined || !volatileFamilies.has(family);
    })
    .map((difference) => describe(difference, names.before, names.after));
}

/** `index public.a: definition: source CREATE INDEX …, target CREATE INDEX …` on one line; long texts from their first difference on. */
export function describe({ identity, property, left, right }: Difference, leftName: string, rightName: string): string {
  if (property === undefined) return `${identity}: only ${left === undefined ? rightName : leftName}`;
  if (property === 'privileges') {
    return `${identity}: privileges: only ${leftName} ${linesOnly(left, right)}, only ${rightName} ${linesOnly(right, left)}`;
  }
  const from = firstDifference(left ?? '', right ?? '');
  return `${identity}: ${property}: ${leftName} ${shown(left, from)}, ${rightName} ${shown(right, from)}`;
}

function linesOnly(text = '', other = ''): string {
  const lines = text.split('\n').filter((line) => line && !other.split('\n').includes(line));
  return lines.length > 0 ? lines.slice(0, 10).join(', ') : '(none)';
}

const longest = 160;

function firstDifference(left: string, right: string): number {
  let at = 0;
  while (at < left.length && left[at] === right[at]) at += 1;
  return at;
}

function shown(text: string | undefined, from: number): string {
  if (text === undefined) return '(none)';
  const line = (part: string): string => part.replaceAll(/\s+/g, ' ');
  if (text.length <= longest) return line(text);
  const start = Math.max(0, Math.min(from - 40, text.length - longest));
  return `${start > 0 ? '…' : ''}${line(text.slice(start, start + longest))}${start + longest < text.length ? '…' : ''}`;
}
