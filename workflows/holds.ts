// Holds and lessons, pure: who keeps the source from being retired, and what people want those after them to know.
import type { HoldRecord, Journal } from '../journal/types';
import { close } from './gate';
import type { HoldRequest, NoteRequest, ReleaseRequest } from './messages';

/** The journal must stay small whatever is sent. */
const mostHolds = 50;
const mostLessons = 100;
/** What may not go on while anybody holds the source. */
const heldGates = ['retire-source', 'drop-source'];

export function openHolds({ holds = [] }: Pick<Journal, 'holds'>): HoldRecord[] {
  return holds.filter(({ releasedAt }) => releasedAt === undefined);
}

/** Returns why it makes no sense now, or undefined when taken. A gate that would retire the source closes; it opens again after the last release. */
export function placeHold(journal: Journal, { by, reason }: HoldRequest, now: Date): string | undefined {
  if (journal.endedAt) return ended(journal);
  const open = openHolds(journal);
  if (open.some((hold) => hold.by === by)) return `${by} holds it already: release first, to give another reason`;
  if (open.length >= mostHolds) return `${mostHolds} holds are open already`;
  const earlier = (journal.holds ?? []).filter(({ releasedAt }) => releasedAt !== undefined);
  journal.holds = [...earlier.slice(-mostHolds), ...open, { by, reason, at: now.toISOString() }];
  const gate = journal.gates.find(({ state }) => state === 'open');
  if (gate && heldGates.includes(gate.name)) close(gate, 'withdrawn', now);
  return undefined;
}

/** As `placeHold`. A hold is released by who has placed it. */
export function releaseHold(journal: Journal, { by }: ReleaseRequest, now: Date): string | undefined {
  if (journal.endedAt) return ended(journal);
  const open = openHolds(journal);
  const mine = open.find((hold) => hold.by === by);
  if (!mine) return `${by} holds nothing; ${open.length === 0 ? 'nobody does' : `open: ${describeHolds(journal)}`}`;
  mine.releasedAt = now.toISOString();
  return undefined;
}

/** As `placeHold`. */
export function addLesson(journal: Journal, { by, text }: NoteRequest, now: Date): string | undefined {
  if (journal.endedAt) return ended(journal);
  const lessons = journal.lessons ?? [];
  if (lessons.length >= mostLessons) return `${mostLessons} notes are there already; more are not kept`;
  journal.lessons = [...lessons, { at: now.toISOString(), by, text }];
  return undefined;
}

/** "anna (incident 4711), ben (audit)" */
export function describeHolds(journal: Pick<Journal, 'holds'>): string {
  return openHolds(journal)
    .map(({ by, reason }) => `${by} (${reason})`)
    .join(', ');
}

function ended({ outcome }: Journal): string {
  return `the migration has ended${outcome ? ` (${outcome})` : ''}`;
}
