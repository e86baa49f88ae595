// Which differences between the schemas are the ones that the plan asked for: type, default and NOT NULL of the columns that it names, the
// type of their sequences, and nothing that merely hangs on them. Pure.
import { tableOf, type ColumnTransformation, type Transformation } from '../../../plan/transformations';
import type { Catalog } from './catalog';
import type { Difference } from './changes';

/** Properties that go with the type. */
const ofType = ['type', 'storage', 'compression', 'collation'];
/** Of a sequence that belongs to such a column. */
const ofSequence = ['type', 'minimum', 'maximum'];

export function followsFrom(
  transformations: Transformation[],
  { identity, property }: Difference,
  source: Catalog,
  target: Catalog,
): boolean {
  return transformations.some((transformation) => {
    const relation = relationName(transformation);
    return Object.entries(transformation.columns).some(([column, asked]) => {
      if (plain(identity) === `column ${relation}.${quoted(column)}`)
        return property !== undefined && propertiesOf(asked).includes(property);
      if (property !== undefined && identity.startsWith('sequence ')) {
        const owner = plain(source.objects[identity]?.properties['owned by']);
        return asked.type !== undefined && owner === `${relation}.${quoted(column)}` && ofSequence.includes(property);
      }
      if (property !== undefined || !identity.startsWith('not-null constraint ')) return false;
      const object = source.objects[identity] ?? target.objects[identity];
      const changesNull = asked.notNull !== undefined || asked.drop === true;
      return (
        changesNull &&
        plain(object?.relation) === relation &&
        plain(object?.properties['definition']) === `NOT NULL ${quoted(column)}`
      );
    });
  });
}

function plain(text = ''): string {
  return text.replaceAll(/"([a-z_][a-z0-9_]*)"/g, '$1');
}

function propertiesOf({ type, notNull, drop, default: value }: ColumnTransformation): string[] {
  return [
    ...(type === undefined ? [] : [...ofType, 'default']),
    ...(value === undefined && !drop ? [] : ['default']),
    ...(notNull === undefined && !drop ? [] : ['not null']),
  ];
}

function relationName(transformation: Transformation): string {
  const { schema, name } = tableOf(transformation);
  return `${quoted(schema)}.${quoted(name)}`;
}

/** As `quote_ident` does, but for keywords, which stay plain: `plain` takes the quotes from them. */
function quoted(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
