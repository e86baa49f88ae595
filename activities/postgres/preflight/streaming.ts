// What the checks of CDC ask the plan for, with the plan's own defaults where the caller has not passed them.
import { isStreamed } from '../stream/streamed-tables';
import type { SelectedTable } from '../tables';
import { pass, type Finding } from './check';
import type { CheckContext, CheckedSide } from './context';

/** Whether changes are to be streamed at all. */
export function streams({ input }: CheckContext): boolean {
  return input.strategy === 'cdc';
}

/** Whether the source is to follow the target after the switch. */
export function goesBack({ input }: CheckContext): boolean {
  return input.reverseReplication ?? true;
}

export const noWayBack: Finding = pass('not needed: the plan wants no stream back (reverseReplication is false)');

/** The sides that will write to a publication: the target only where the way back is streamed. */
export function writingSides(context: CheckContext): CheckedSide[] {
  return goesBack(context) ? ['source', 'target'] : ['source'];
}

/** The tables whose changes streams carry. */
export async function streamedTables(context: CheckContext): Promise<SelectedTable[]> {
  return (await context.tables()).filter(isStreamed);
}

export function shownName({ schema, name }: { schema: string; name: string }): string {
  return `${schema}.${name}`;
}
