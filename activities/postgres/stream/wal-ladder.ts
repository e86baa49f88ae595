// Pure decisions of the slot guardian: how much WAL may be held back, and what a given amount and growth mean.
// The server's own limits (its disk, max_slot_wal_keep_size) lie above the budget in every case, so that we act before they do.
import { bytesText } from '../preflight/disk';

export const guardLevels = ['fine', 'alert', 'slow', 'pause', 'drop'] as const;
/** How near the budget is, and what is done: nothing, shown, copy slowed, copy paused, slots dropped. */
export type GuardLevel = (typeof guardLevels)[number];

/** Shares of the budget, and how soon the growth would use it up. */
const rungs = [
  { level: 'alert', share: 0.5, withinSeconds: 600 },
  { level: 'slow', share: 0.7, withinSeconds: 300 },
  { level: 'pause', share: 0.85, withinSeconds: 120 },
  { level: 'drop', share: 0.95, withinSeconds: 60 },
] as const;

/** A slot with this share of the budget goes when the level is `drop`; others stay. */
export const dropShare = 0.85;

export interface WalUse {
  retainedBytes: number;
  budgetBytes: number;
  /** Growth that has lasted; undefined until it has been watched for a while. */
  bytesPerSecond?: number;
}

/**
 * The level by amount; growth lifts it by one rung at most. A load that would fill the budget in a minute may be over in ten seconds, and must
 * not cost an otherwise healthy stream its slot.
 */
export function levelOf(use: WalUse): GuardLevel {
  const share = shareOf(use);
  const seconds = secondsLeft(use);
  const byShare = rungs.filter((rung) => share >= rung.share).length;
  const byGrowth = rungs.filter((rung) => seconds <= rung.withinSeconds).length;
  return guardLevels[Math.max(byShare, Math.min(byGrowth, byShare + 1))] ?? 'drop';
}

/** As `levelOf`, with some distance: only what is below it may lower a level, so that nothing flaps. */
export function calmLevelOf({ retainedBytes, budgetBytes, bytesPerSecond }: WalUse): GuardLevel {
  return levelOf({
    retainedBytes: retainedBytes * 1.15,
    budgetBytes,
    ...(bytesPerSecond === undefined ? {} : { bytesPerSecond: bytesPerSecond * 1.5 }),
  });
}

export function highest(levels: GuardLevel[]): GuardLevel {
  return guardLevels[Math.max(0, ...levels.map((level) => guardLevels.indexOf(level)))] ?? 'fine';
}

export function isHigher(level: GuardLevel, than: GuardLevel): boolean {
  return guardLevels.indexOf(level) > guardLevels.indexOf(than);
}

/** Of the budget; 1 is all of it. */
export function shareOf({ retainedBytes, budgetBytes }: WalUse): number {
  return budgetBytes > 0 ? retainedBytes / budgetBytes : 1;
}

/** Until the budget is used up; Infinity when nothing grows. */
export function secondsLeft({ retainedBytes, budgetBytes, bytesPerSecond = 0 }: WalUse): number {
  return bytesPerSecond > 0 ? Math.max(0, budgetBytes - retainedBytes) / bytesPerSecond : Infinity;
}

export interface WalLimits {
  /** Of the plan; 0: none was asked for. */
  askedMegabytes: number;
  retainedBytes: number;
  /** `max_slot_wal_keep_size`; undefined where it is -1. */
  keepBytes?: number;
  /** Where the WAL is; undefined where it cannot be known. */
  freeBytes?: number;
}

export interface WalBudget {
  bytes: number;
  /** For people: "the plan". */
  why: string;
}

const megabyte = 1_048_576;
const withoutLimitBytes = 16_384 * megabyte;
/** Two segments: with less, a slot that does nothing wrong would be dropped. */
const leastBytes = 32 * megabyte;

/** What the plan or the server's limits allow, and never as much as would let the server decide. */
export function walBudget({ askedMegabytes, retainedBytes, keepBytes, freeBytes }: WalLimits): WalBudget {
  const room = freeBytes === undefined ? undefined : freeBytes + retainedBytes;
  const ceilings: WalBudget[] = [
    ...(keepBytes === undefined
      ? []
      : [{ bytes: Math.max(0.8 * keepBytes, leastBytes), why: '80 % of max_slot_wal_keep_size' }]),
    ...(room === undefined ? [] : [{ bytes: 0.9 * room, why: '90 % of the room on the disk of the WAL' }]),
  ];
  const chosen = chosenBudget(askedMegabytes, keepBytes, room);
  return [chosen, ...ceilings].reduce((least, one) => (one.bytes < least.bytes ? one : least));
}

function chosenBudget(askedMegabytes: number, keepBytes?: number, room?: number): WalBudget {
  if (askedMegabytes > 0) return { bytes: askedMegabytes * megabyte, why: 'the plan' };
  if (keepBytes !== undefined)
    return { bytes: Math.max(0.8 * keepBytes, leastBytes), why: '80 % of max_slot_wal_keep_size' };
  if (room !== undefined) return { bytes: 0.5 * room, why: 'half of the room on the disk of the WAL' };
  return { bytes: withoutLimitBytes, why: 'neither max_slot_wal_keep_size is set nor the free disk known' };
}

const doneAbout: Record<GuardLevel, string> = {
  fine: '',
  alert: 'At 70 % the copy is slowed, at 85 % paused, at 95 % the slot is dropped',
  slow: 'The copy is slowed where that helps; at 85 % it is paused, at 95 % the slot is dropped',
  pause: 'The copy is to be paused; at 95 % the slot is dropped',
  drop: 'The slot is dropped, so that the server keeps its disk; what it held back must be copied anew',
};

/** One line for people. */
export function wordsOf(
  side: string,
  { retainedBytes, budgetBytes, bytesPerSecond }: WalUse,
  { level, why, slot }: { level: GuardLevel; why: string; slot?: string },
): string {
  const percent = Math.round(100 * shareOf({ retainedBytes, budgetBytes }));
  const left = secondsLeft({ retainedBytes, budgetBytes, bytesPerSecond });
  const grows =
    bytesPerSecond === undefined || bytesPerSecond < 1_000
      ? ''
      : `, growing by ${bytesText(bytesPerSecond)} a second: full in ${spanText(left)}`;
  const held = `${bytesText(retainedBytes)} of WAL are held back on the ${side}${slot ? ` by slot ${slot}` : ''}, ${percent} % of the budget of ${bytesText(budgetBytes)} (${why})${grows}.`;
  return doneAbout[level] ? `${held} ${doneAbout[level]}.` : held;
}

function spanText(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3_600)} h`;
}
