// Which streams a leg consists of: the first way forward has one for each copy group, every later leg has one.
import type { ClientBase } from 'pg';
import type { PostgresScope } from '../scope';
import { readGroups } from './group-ledger';
import { groupStream, legStream, type Leg, type Stream } from './names';

/** The streams of a leg; those of leg 0 are read from the ledger on the target: groups that are copied and have tables. */
export async function streamsOf(target: ClientBase, scope: PostgresScope, leg: Leg): Promise<Stream[]> {
  if (leg > 0) return [legStream(scope.migration, leg)];
  const groups = await readGroups(target);
  return groups
    .filter(({ state, tables }) => (state === 'closed' || state === 'lost') && tables > 0)
    .map(({ id }) => groupStream(scope.migration, id));
}
