// What the report of a migration by CDC says of its streams and of each hand-over of writing: who, when, for how long, and where the time went.
import { code, heading, list, paragraph, table, type Block, type Text } from '../document';
import { formatBytes, formatMaybeMs, formatTime } from '../quantities';
import { done, failed, open, quiet } from '../reading';
import type { HandOverRecord, Journal } from '../types';

/** Nothing for migrations without streams. */
export function streams({ replication, handOvers = [] }: Journal): Block[] {
  if (!replication && handOvers.length === 0) return [];
  return [...handOverBlocks(handOvers), ...(replication ? replicationBlocks(replication) : [])];
}

function handOverBlocks(handOvers: HandOverRecord[]): Block[] {
  if (handOvers.length === 0) return [];
  return [
    heading('Hand-overs of writing'),
    table(
      ['Begun', 'From', 'To', 'Outcome', '>Outage', '>As the application saw it', 'Why'],
      handOvers.map(({ startedAt, from, to, outcome, outageMs, freezeMs, why }) => [
        formatTime(startedAt),
        from,
        to,
        outcomeText(outcome),
        formatMaybeMs(outageMs),
        freezeMs === undefined ? quiet('not told') : `${freezeMs} ms`,
        why ?? '',
      ]),
    ),
    list(
      handOvers
        .filter(({ parts }) => parts.length > 0)
        .map(({ startedAt, parts }) => [
          `${formatTime(startedAt)}: `,
          parts.map(({ name, ms }) => `${name} ${Math.round(ms)} ms`).join(', '),
        ]),
    ),
  ];
}

function outcomeText(outcome: HandOverRecord['outcome']): Text {
  if (outcome === 'switched') return done('switched');
  return outcome === 'given-up' ? failed('given up') : open('under way');
}

function replicationBlocks(replication: NonNullable<Journal['replication']>): Block[] {
  const { direction, lagMs, retainedWalBytes, problems, measuredAt, endedAt, guardian } = replication;
  const names = direction === 'forward' ? 'the target followed the source' : 'the source followed the target';
  return [
    heading('Streams'),
    paragraph(
      `As last looked at, ${formatTime(measuredAt)}, ${names}; a marker passed in ${lagMs === undefined ? 'unknown time' : `${lagMs} ms`}; the slots held back ${retainedWalBytes === undefined ? 'an unknown amount' : formatBytes(retainedWalBytes)} of WAL.${endedAt ? ` They were removed ${formatTime(endedAt)}.` : ''}${guardian ? ` Slot guardian at ${formatTime(guardian.at)}: ${guardian.level}, ${guardian.detail}.` : ''}`,
    ),
    table(
      ['Stream', '>Tables', 'State', '>Behind', '>Errors'],
      replication.streams.map(({ name, tables, state, lagBytes, errors }) => [
        code(name),
        String(tables),
        state,
        lagBytes === undefined ? '–' : formatBytes(lagBytes),
        String(errors),
      ]),
    ),
    ...(problems.length > 0 ? [list(problems.map((problem) => [problem]))] : []),
  ];
}
