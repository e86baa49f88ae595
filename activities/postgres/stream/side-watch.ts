// The slot guardian's eye on one server: a session that is opened again whenever it is lost, a look every few seconds (more often when the
// budget is nearly used up), the growth over the last minute, and the drop. A server that does not answer is a finding, never an error.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { PostgresConnections } from '../connection';
import type { PostgresScope } from '../scope';
import { streamPrefix, type WritingSide } from './names';
import { dropSlot } from './slot';
import { lookAtSlots, nudge, type HeldSlot, type SlotLook } from './slot-look';
import {
  calmLevelOf,
  dropShare,
  highest,
  levelOf,
  secondsLeft,
  walBudget,
  wordsOf,
  type GuardLevel,
  type WalBudget,
  type WalUse,
} from './wal-ladder';

/** How often the guardian looks and how long it waits; milliseconds. */
export interface GuardPace {
  lookMs: number;
  /** When the budget is nearly used up. */
  closeLookMs: number;
  /** A server that has not answered for this long is unreachable. */
  answerMs: number;
  nudgeMs: number;
  /** Growth counts over this long, and from a sixth of it on. */
  growthMs: number;
  /** A level falls when it has been too high for this long. */
  calmMs: number;
}

export const defaultPace: GuardPace = {
  lookMs: 2_000,
  closeLookMs: 200,
  answerMs: 15_000,
  nudgeMs: 5_000,
  growthMs: 60_000,
  calmMs: 60_000,
};

const connectMs = 5_000;

/** What was found when a side was last looked at. */
export interface SideState {
  side: WritingSide;
  slots: HeldSlot[];
  use: WalUse;
  budget: WalBudget;
  level: GuardLevel;
  /** With some distance: the level to which it may fall. */
  calmLevel: GuardLevel;
}

export class SideWatch {
  /** Undefined while the server cannot be asked. */
  state?: SideState;
  /** Why it cannot be asked, since when. */
  unreachable?: { why: string; sinceMs: number };
  readonly dropped: string[] = [];
  /** Why a drop did not succeed. */
  trouble?: string;

  private session?: { client: Client; lifeline: AbortController };
  private nudgedAt = -Infinity;
  private samples: { at: number; bytes: number }[] = [];

  constructor(
    private readonly connections: PostgresConnections,
    private readonly scope: PostgresScope,
    readonly side: WritingSide,
    private readonly askedMegabytes: number,
    private readonly pace: GuardPace,
    private readonly signal: AbortSignal,
  ) {}

  /** Looks, and drops what must go. Throws only when the watch is cancelled. @returns when to look again, in milliseconds */
  async look(): Promise<number> {
    const { signal, pace } = this;
    try {
      const client = await this.connected();
      const state = await this.judgeTwice(client);
      await this.keepMoving(client, state);
      await this.dropWhatMustGo(client, state);
      this.state = state;
      this.unreachable = undefined;
      if (state.slots.length > 0) return nextLookMs(state.use, pace);
      // Whoever looks for anything left behind shall not find us.
      await this.disconnect();
      return pace.lookMs;
    } catch (error) {
      signal.throwIfAborted();
      await this.disconnect();
      this.state = undefined;
      this.samples = [];
      this.unreachable ??= { why: '', sinceMs: Date.now() };
      this.unreachable.why = error instanceof Error ? error.message : String(error);
      return pace.lookMs;
    }
  }

  async disconnect(): Promise<void> {
    const { session } = this;
    this.session = undefined;
    if (!session) return;
    // A session that does not answer would not end in order either.
    const cut = setTimeout(() => session.lifeline.abort(), 1_000);
    await session.client.end().catch(() => undefined);
    clearTimeout(cut);
  }

  private async connected(): Promise<Client> {
    if (this.session) return this.session.client;
    const lifeline = new AbortController();
    const client = await this.connections.open(this.scope[this.side], {
      side: this.side,
      purpose: 'slot guard',
      signal: AbortSignal.any([this.signal, lifeline.signal]),
      connectTimeoutMs: Math.min(this.pace.answerMs, connectMs),
      settings: { statement_timeout: String(this.pace.answerMs) },
    });
    this.session = { client, lifeline };
    return client;
  }

  private async inTime<Result>(answer: Promise<Result>): Promise<Result> {
    const cut = setTimeout(() => this.session?.lifeline.abort(), this.pace.answerMs);
    try {
      return await answer;
    } finally {
      clearTimeout(cut);
    }
  }

  /** What cannot be mended is not done on one number. */
  private async judgeTwice(client: Client): Promise<SideState> {
    const look = async (): Promise<SideState> =>
      this.judge(await this.inTime(lookAtSlots(client, streamPrefix(this.scope.migration))));
    const first = await look();
    if (first.level !== 'drop') return first;
    await sleep(this.pace.closeLookMs, undefined, { signal: this.signal });
    return look();
  }

  private judge({ slots, keepBytes, freeBytes }: SlotLook): SideState {
    const retainedBytes = Math.max(0, ...slots.map((slot) => slot.retainedBytes));
    const budget = walBudget({ askedMegabytes: this.askedMegabytes, retainedBytes, keepBytes, freeBytes });
    const bytesPerSecond = this.growth(retainedBytes);
    const use: WalUse = {
      retainedBytes,
      budgetBytes: Math.round(budget.bytes),
      ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
    };
    const atLeast: GuardLevel = slots.some(({ walStatus }) => walStatus === 'lost') ? 'alert' : 'fine';
    if (slots.length === 0) return { side: this.side, slots, use, budget, level: 'fine', calmLevel: 'fine' };
    return {
      side: this.side,
      slots,
      use,
      budget,
      level: highest([levelOf(use), atLeast]),
      calmLevel: highest([calmLevelOf(use), atLeast]),
    };
  }

  /** That of the whole time watched or of its last third, whichever is less: a burst that is over counts for nothing, nor one that has just begun. */
  private growth(bytes: number): number | undefined {
    const { growthMs } = this.pace;
    const at = performance.now();
    this.samples = [...this.samples.filter((sample) => at - sample.at <= growthMs), { at, bytes }];
    const since = (ms: number): number => {
      const first = this.samples.find((sample) => at - sample.at <= ms) ?? { at, bytes };
      return at > first.at ? ((bytes - first.bytes) * 1_000) / (at - first.at) : 0;
    };
    if (at - (this.samples[0]?.at ?? at) < growthMs / 6) return undefined;
    return Math.max(0, Math.round(Math.min(since(growthMs), since(growthMs / 3))));
  }

  private async keepMoving(client: Client, { slots }: SideState): Promise<void> {
    if (slots.length === 0 || performance.now() - this.nudgedAt < this.pace.nudgeMs) return;
    await this.inTime(nudge(client));
    this.nudgedAt = performance.now();
  }

  private async dropWhatMustGo(client: Client, state: SideState): Promise<void> {
    if (state.level !== 'drop') return;
    const names = state.slots
      .filter(({ retainedBytes }) => retainedBytes >= dropShare * state.use.budgetBytes)
      .map(({ name }) => name);
    this.trouble = undefined;
    for (const name of names) {
      try {
        await dropSlot(client, name, this.side, this.signal);
        this.dropped.push(name);
      } catch (error) {
        this.signal.throwIfAborted();
        this.trouble = `${name} could not be dropped yet: ${error instanceof Error ? error.message : String(error)}`;
      }
    }
  }
}

/** A twentieth of the time that is left. */
function nextLookMs(use: WalUse, { lookMs, closeLookMs }: GuardPace): number {
  const close = use.retainedBytes >= dropShare * use.budgetBytes;
  return close ? closeLookMs : Math.min(lookMs, Math.max(closeLookMs, secondsLeft(use) * 50));
}

/** One line for people about a side that has slots. */
export function sideWords({ side, slots, use, budget, level }: SideState): string {
  const lost = slots.filter(({ walStatus }) => walStatus === 'lost').map(({ name }) => name);
  const lostWords =
    lost.length > 0 ? ` The server has given up ${lost.join(', ')}: what it held back must be copied anew.` : '';
  return `${wordsOf(side, use, { level, why: budget.why, slot: slots[0]?.name })}${lostWords}`;
}
