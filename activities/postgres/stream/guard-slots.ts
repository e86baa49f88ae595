// Keeps watch over the WAL that a migration's slots hold back, so that we act before the disk or max_slot_wal_keep_size does. Both servers
// are watched side by side: one that hangs must not hide the other. Nothing that goes wrong here ends the watch.
import { setTimeout as sleep } from 'node:timers/promises';
import { formatTime } from '../../../journal/quantities';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat, type Beat } from '../../heartbeat';
import type { PostgresConnections } from '../connection';
import type { PostgresScope } from '../scope';
import { applyBrake, releaseBrake } from './copy-brake';
import { defaultPace, SideWatch, sideWords, type GuardPace } from './side-watch';
import { guardLevels, highest, isHigher, shareOf, type GuardLevel } from './wal-ladder';

export type { GuardLevel } from './wal-ladder';
export type { GuardPace } from './side-watch';

export interface GuardRequest {
  scope: PostgresScope;
  /** 0: chosen by the server's own limits, see `CdcSettings`. */
  walBudgetMegabytes: number;
  /** As last reported: the watch returns when it is another one. */
  level: GuardLevel;
  /** The watch returns at this time at the latest; ISO 8601. */
  untilIso: string;
  /** As the watch before this one returned it. */
  slotsSeenIso?: string;
  /** As the watch before this one returned it. */
  goneSinceIso?: string;
}

export interface GuardReport {
  level: GuardLevel;
  /** For people: how much of which budget, how fast, until when, and what is done about it. */
  detail: string;
  /** Of the migration, on both servers. */
  slots: number;
  /** By the slot that holds back most. */
  retainedBytes: number;
  /** Of the server where most of it is used. */
  budgetBytes: number;
  dropped: string[];
  /** When a slot of the migration was last seen, by this watch or one before it. */
  slotsSeenIso?: string;
  /** Since when both servers, asked all the time, have had no slot of the migration although there was one. */
  goneSinceIso?: string;
}

export function createSlotGuardActivities({ connections }: PostgresDependencies, pace: GuardPace = defaultPace) {
  return {
    /**
     * Looks at the slots of the migration on both servers every few seconds, keeps their positions moving on idle servers, and returns
     * when the level changes or the time is over. Slows the copy and drops slots itself. A server that cannot be asked is asked again;
     * it ends nothing, and keeps the level from falling.
     */
    guardSlots: (request: GuardRequest): Promise<GuardReport> =>
      withHeartbeat<unknown, GuardReport>({ level: request.level }, (beat) =>
        new Guard(connections, request, pace, beat).watch(),
      ),
  };
}

class Guard {
  private readonly over = new AbortController();
  private readonly sides: SideWatch[];
  private slotsSeenIso?: string;
  private goneSinceIso?: string;
  private calmSince?: number;
  private answer?: (level: GuardLevel) => void;

  constructor(
    private readonly connections: PostgresConnections,
    private readonly request: GuardRequest,
    private readonly pace: GuardPace,
    private readonly beat: Beat<unknown>,
  ) {
    const { scope, walBudgetMegabytes } = request;
    this.slotsSeenIso = request.slotsSeenIso;
    this.goneSinceIso = request.goneSinceIso;
    this.sides = (['source', 'target'] as const).map(
      (side) => new SideWatch(connections, scope, side, walBudgetMegabytes, pace, beat.signal),
    );
  }

  async watch(): Promise<GuardReport> {
    const decided = new Promise<GuardLevel>((resolve) => (this.answer = resolve));
    const loops = this.sides.map((side) => this.loop(side));
    try {
      const level = await Promise.race([decided, ...loops]);
      this.over.abort();
      return this.report(level, await this.brake(level));
    } finally {
      this.over.abort();
      const disconnected = (): Promise<unknown> => Promise.all(this.sides.map((side) => side.disconnect()));
      await disconnected();
      await Promise.allSettled(loops);
      // Of a look that was just connecting.
      await disconnected();
    }
  }

  /** Ends only by being aborted, and then throws. */
  private async loop(side: SideWatch): Promise<never> {
    const signal = AbortSignal.any([this.beat.signal, this.over.signal]);
    for (;;) {
      const nextMs = await side.look();
      this.decide();
      await sleep(nextMs, undefined, { signal });
    }
  }

  private decide(): void {
    const { level } = this.request;
    const known = this.sides.flatMap(({ state }) => (state ? [state] : []));
    this.countSlots(known.length === this.sides.length);
    const found = highest(known.map((state) => state.level));
    if (isHigher(found, level)) {
      this.answer?.(found);
      return;
    }
    const asked = this.sides.every(({ state, unreachable }) => state ?? unreachable);
    if (!asked) return;
    this.beat.report({ level, detail: this.words() });
    const lower = this.lowerLevel();
    if (lower) this.answer?.(lower);
    else if (Date.now() >= Date.parse(this.request.untilIso)) this.answer?.(level);
  }

  /** A level that is too high for a while falls, while both servers say so. What was dropped stays dropped until there are slots again. */
  private lowerLevel(): GuardLevel | undefined {
    const { level } = this.request;
    const states = this.sides.map(({ state }) => state);
    const calm = highest(states.map((state) => state?.calmLevel ?? 'drop'));
    const nothingLeft = level === 'drop' && states.every((state) => state?.slots.length === 0);
    if (!isHigher(level, calm) || nothingLeft) {
      this.calmSince = undefined;
      return undefined;
    }
    this.calmSince ??= performance.now();
    return performance.now() - this.calmSince >= this.pace.calmMs ? calm : undefined;
  }

  /** A server that has not been asked yet says nothing; one that cannot be asked may have slots. */
  private countSlots(allAnswered: boolean): void {
    const now = new Date().toISOString();
    if (this.slots() > 0) this.slotsSeenIso = now;
    if (this.slots() > 0 || this.sides.some(({ unreachable }) => unreachable)) this.goneSinceIso = undefined;
    else if (allAnswered && this.slotsSeenIso !== undefined) this.goneSinceIso ??= now;
  }

  private slots(): number {
    return this.sides.reduce((sum, { state }) => sum + (state?.slots.length ?? 0), 0);
  }

  /**
   * From `slow` on the copy gets half of its speed, but only where a stream is being applied beside it: a slot that waits for the copy itself
   * would only hold back more.
   */
  private async brake(level: GuardLevel): Promise<string> {
    const { scope } = this.request;
    const { signal } = this.beat;
    const wanted = guardLevels.indexOf(level) >= guardLevels.indexOf('slow');
    const streaming = this.sides.some(({ state }) => state?.slots.some(({ active }) => active));
    if (wanted && !streaming) return ' The copy is not slowed: no stream runs beside it, and the slots wait for it.';
    try {
      return await this.connections.withSession(
        scope.target,
        { side: 'target', purpose: 'slot guard brake', signal, settings: { statement_timeout: '10s' } },
        async (target) => {
          if (wanted) return ` Brake: ${(await applyBrake(target, scope.migration)).words}.`;
          return (await releaseBrake(target, scope.migration)) ? ' The copy has its former speed again.' : '';
        },
      );
    } catch (error) {
      signal.throwIfAborted();
      return wanted ? ` The copy could not be slowed: ${error instanceof Error ? error.message : String(error)}` : '';
    }
  }

  private report(level: GuardLevel, brake: string): GuardReport {
    const fullest = this.fullest();
    const dropped = this.sides.flatMap((side) => side.dropped);
    const { slotsSeenIso, goneSinceIso } = this;
    return {
      level,
      detail: `${this.words()}${brake}`,
      slots: this.slots() - dropped.length,
      retainedBytes: fullest?.use.retainedBytes ?? 0,
      budgetBytes: fullest?.use.budgetBytes ?? 0,
      dropped,
      ...(slotsSeenIso === undefined ? {} : { slotsSeenIso }),
      ...(goneSinceIso === undefined ? {} : { goneSinceIso }),
    };
  }

  private fullest(): SideWatch['state'] {
    return this.sides
      .flatMap(({ state }) => (state ? [state] : []))
      .sort((one, other) => shareOf(other.use) - shareOf(one.use))[0];
  }

  private words(): string {
    const answering = this.sides.flatMap(({ state }) => (state ? [state] : []));
    const withSlots = answering.filter(({ slots }) => slots.length > 0);
    return [
      ...this.sides.flatMap(({ dropped }) =>
        dropped.length > 0 ? [`Dropped ${dropped.join(', ')}: the budget was nearly used up.`] : [],
      ),
      ...withSlots.map(sideWords),
      ...(withSlots.length === 0 && answering.length > 0 ? ['No slot of the migration is there.'] : []),
      ...this.sides.flatMap(({ trouble }) => (trouble ? [trouble] : [])),
      ...this.sides.flatMap(({ side, unreachable }) =>
        unreachable
          ? [
              `The ${side} cannot be asked since ${formatTime(new Date(unreachable.sinceMs).toISOString())}: ${unreachable.why}`,
            ]
          : [],
      ),
    ].join(' ');
  }
}
