// Waits until the following side has caught up, and says meanwhile how far it is: a marker is under way all the time, and what it takes
// for it to pass is the lag.
import { setTimeout as sleep } from 'node:timers/promises';
import { failure, failureType } from '../../errors';
import type { Beat } from '../../heartbeat';
import { Attempts, cannotApply, lsnNumber, tablesInTheWay } from './failing';
import { passMarker } from './marker';
import type { Stream } from './names';
import type { Sides } from './sides';
import {
  furthestBehind,
  lookAtStreams,
  lossOf,
  recordOf,
  retainedBy,
  type StreamHealth,
  type StreamLook,
} from './stream-look';
import { whyNotStarted } from './subscription';

/** What heartbeats of `awaitCaughtUp` show. */
export interface CatchUpProgress {
  lagBytes: number;
  bytesPerSecond?: number;
  etaMs?: number;
}

const lookEveryMs = 500;
/** A change that fails this often, while nothing comes forward, does not mend itself. */
const failuresAtMost = 3;
/** A subscription without a walsender: servers start workers again every five seconds. */
const silentForMs = 30_000;
const rateOverMs = 10_000;
/** Without a word from the other side a marker is written anew; only so that none is waited for without end. */
const markerTimeoutMs = 60_000;

export async function catchUp(
  sides: Sides,
  streams: Stream[],
  maxLagMs: number,
  { signal, report }: Beat<CatchUpProgress>,
): Promise<StreamHealth> {
  const [first] = streams;
  if (!first) return { streams: [], lagMs: 0, lagBytes: 0, retainedWalBytes: 0 };
  const done = new AbortController();
  const watch = watchStreams(sides, streams, AbortSignal.any([signal, done.signal]), report);
  const mark = passWithin(sides, streams, maxLagMs, AbortSignal.any([signal, done.signal]));
  // Whichever fails first tells why; the other is stopped and its own end is no news.
  try {
    const lagMs = await Promise.race([mark, watch]);
    const looks = await lookAtStreams(sides, streams);
    return {
      streams: looks.map(recordOf),
      lagMs,
      lagBytes: furthestBehind(looks),
      retainedWalBytes: retainedBy(looks),
    };
  } finally {
    done.abort();
    await Promise.allSettled([mark, watch]);
  }
}

/** Markers one after the other, until one is as quick as asked for. */
async function passWithin(sides: Sides, streams: Stream[], maxLagMs: number, signal: AbortSignal): Promise<number> {
  const [first] = streams;
  for (;;) {
    signal.throwIfAborted();
    if (!first) return 0;
    try {
      const { ms } = await passMarker(sides[first.from], sides[first.to], streams, {
        signal,
        timeoutMs: markerTimeoutMs,
      });
      if (ms <= maxLagMs) return ms;
    } catch (error) {
      if (failureType(error) === 'NotReadyYet') continue;
      throw error;
    }
  }
}

/** Never resolves: ends with a failure when something is wrong for good, or by the signal. */
async function watchStreams(
  sides: Sides,
  streams: Stream[],
  signal: AbortSignal,
  report: (progress: CatchUpProgress) => void,
): Promise<never> {
  const attempts = new Attempts();
  const rate = new Rate();
  const silentSince = new Map<string, number>();
  for (;;) {
    const looks = await lookAtStreams(sides, streams);
    for (const look of looks) await requireLife(sides, look, attempts, silentSince);
    report(rate.progress(looks));
    await sleep(lookEveryMs, undefined, { signal });
  }
}

/** @throws StreamLost, TargetConflict, PreconditionFailed when the stream will not go on by itself */
async function requireLife(
  sides: Sides,
  look: StreamLook,
  attempts: Attempts,
  silentSince: Map<string, number>,
): Promise<void> {
  const { stream, slot, subscription } = look;
  const loss = lossOf(look);
  if (loss !== undefined) {
    throw failure(
      'StreamLost',
      `The ${stream.to} cannot follow by ${stream.name} any more: ${loss}. Roll the migration back and start it again; nothing is lost on the ${stream.from}.`,
    );
  }
  if (!subscription?.enabled) {
    throw failure(
      'PreconditionFailed',
      `The subscription ${stream.name} on the ${stream.to} is ${subscription ? 'disabled' : 'not there'}: somebody has stopped it. Enable it (ALTER SUBSCRIPTION ${stream.name} ENABLE), or roll back, then retry.`,
    );
  }
  const failures = attempts.failures(look);
  if (failures >= failuresAtMost) throw cannotApply(look, failures, await tablesInTheWay(sides, look));
  if (slot?.activePid !== undefined) silentSince.delete(stream.name);
  const since = silentSince.get(stream.name) ?? Date.now();
  if (slot?.activePid === undefined) silentSince.set(stream.name, since);
  if (Date.now() - since > silentForMs) {
    throw failure(
      'PreconditionFailed',
      `The ${stream.to} has not streamed ${stream.name} for ${silentForMs / 1_000} s: ${await whyNotStarted(sides[stream.to], [stream.name], stream)}. Mend it and retry.`,
    );
  }
}

/** How fast the other side confirms, over the last seconds, and when it will be through at the rate at which it comes nearer. */
class Rate {
  private samples: { at: number; confirmed: number; lagBytes: number }[] = [];

  progress(looks: StreamLook[]): CatchUpProgress {
    const at = performance.now();
    const lagBytes = furthestBehind(looks);
    const last = looks.find(({ slot }) => slot?.lagBytes === lagBytes)?.slot?.confirmedLsn;
    const confirmed = Number(lsnNumber(last ?? '0/0'));
    this.samples = [...this.samples.filter((sample) => at - sample.at < rateOverMs), { at, confirmed, lagBytes }];
    const [oldest] = this.samples;
    const seconds = oldest ? (at - oldest.at) / 1_000 : 0;
    if (!oldest || seconds < 1) return { lagBytes };
    const bytesPerSecond = Math.max(0, Math.round((confirmed - oldest.confirmed) / seconds));
    const nearer = (oldest.lagBytes - lagBytes) / seconds;
    return { lagBytes, bytesPerSecond, ...(nearer > 0 && { etaMs: Math.round((lagBytes / nearer) * 1_000) }) };
  }
}
