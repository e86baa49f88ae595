// What we advise where the target cannot stay as it is: another one first. What destroys is advised only when the target
// is known not to be the source, and behind a remark, so that pasting the whole advice destroys nothing.
import { quoteIdentifier } from '../identifier';
import type { CheckContext } from './context';
import { sameDatabase } from './server-facts';

/** CREATE DATABASE beside the present target; `options` as in SQL. */
export function createAnother(database: string, options = ''): string {
  const name = quoteIdentifier(`${database}_new`);
  return `CREATE DATABASE ${name} TEMPLATE template0${options}; -- and let the reference of the target lead to it`;
}

/** The fix where it is sure to hit the target and not the source; otherwise what has to be put right first. */
export async function unlessSource(context: CheckContext, destructive: string): Promise<string> {
  if (!context.reachable('source')) {
    return 'make the source reachable first: it is not known whether the reference of the target leads to the source';
  }
  const [source, target] = [await context.server('source'), await context.server('target')];
  return sameDatabase(source, target)
    ? 'correct the reference of the target first: it leads to the source'
    : destructive;
}
