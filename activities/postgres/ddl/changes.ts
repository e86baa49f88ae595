// Two fingerprints of one database side by side, for people. Of a table that came or went only the table is told, not each of its columns.
import { z } from 'zod';

const shown = 20;

const objectSchema = z.tuple([z.string(), z.string().nullable(), z.string().nullable(), z.string().nullable()]);
type FingerprintObject = z.infer<typeof objectSchema>;

interface Change {
  sign: '-' | '+';
  object: FingerprintObject;
}

/** `- column public.orders.note: text …` for what is gone or was otherwise, `+ …` for what came or is; the first twenty, then how many more. */
export function describeChanges(before: readonly string[], after: readonly string[]): string[] {
  const changes = [...only('-', before, after), ...only('+', after, before)];
  const relations = (sign: Change['sign']): Set<string | null> =>
    new Set(changes.filter((change) => change.sign === sign && isRelation(change)).map(({ object: [, name] }) => name));
  const [gone, came] = [relations('-'), relations('+')];
  // One that is there before and after has parts that tell more than itself.
  const told = changes.filter((change) => {
    const name = change.object[1];
    return isRelation(change) || gone.has(name) === came.has(name);
  });
  const lines = told.sort(inOrder).map(({ sign, object }) => `${sign} ${describe(object)}`);
  return lines.length <= shown ? lines : [...lines.slice(0, shown), `and ${lines.length - shown} more`];
}

/** Lines of the one that the other lacks, each as often as it is there too often. */
function only(sign: Change['sign'], lines: readonly string[], others: readonly string[]): Change[] {
  const left = new Map<string, number>();
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1);
  return lines.flatMap((line): Change[] => {
    const count = left.get(line) ?? 0;
    if (count > 0) {
      left.set(line, count - 1);
      return [];
    }
    return [{ sign, object: objectSchema.parse(JSON.parse(line)) }];
  });
}

/** Table, view, sequence, composite type: what has a name of its own and parts. */
function isRelation({ object: [, relation, name] }: Change): boolean {
  return relation !== null && name === null;
}

/** By object, what it was before what it is. */
function inOrder(one: Change, other: Change): number {
  const place = ({ object: [kind, relation, name], sign }: Change): string[] => [
    relation ?? '',
    name ?? '',
    kind,
    sign === '-' ? '0' : '1',
  ];
  const [left, right] = [place(one), place(other)];
  const at = left.findIndex((part, index) => part !== right[index]);
  return at === -1 ? 0 : (left[at] ?? '') < (right[at] ?? '') ? -1 : 1;
}

function describe([kind, relation, name, detail]: FingerprintObject): string {
  const full =
    kind === 'column' ? `${relation}.${name}` : [name, relation].filter((part) => part !== null).join(' of ');
  const text = detail?.replaceAll(/\s+/g, ' ').trim();
  return `${kind} ${full}${text ? `: ${text}` : ''}`;
}
