// Durations as operators write them ("60s", "24h", "30d") and as the code uses them (milliseconds).
import { z } from 'zod';

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const pattern = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;

/** "90s" -> 90000. Returns undefined when the text is not `<number><ms|s|m|h|d>`. */
export function parseDurationMs(text: string): number | undefined {
  const match = pattern.exec(text);
  if (!match) return undefined;
  return Math.round(Number(match[1]) * unitMs[match[2] as keyof typeof unitMs]);
}

/** 5_430_000 -> "1 h 30 min"; below a second "230 ms". The two largest units, for people. */
export function formatDurationMs(durationMs: number): string {
  if (durationMs < 1_000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 60_000) return `${(durationMs / 1_000).toFixed(durationMs < 10_000 ? 1 : 0)} s`;
  const minutes = Math.floor(durationMs / 60_000);
  if (minutes < 60) return join([minutes, 'min'], [Math.round((durationMs % 60_000) / 1_000), 's']);
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return join([hours, 'h'], [minutes % 60, 'min']);
  return join([Math.floor(hours / 24), 'd'], [hours % 24, 'h']);
}

function join(...parts: [number, string][]): string {
  return parts
    .filter(([amount], index) => index === 0 || amount > 0)
    .map(([amount, unit]) => `${amount} ${unit}`)
    .join(' ');
}

/** A duration in a plan: text such as "60s", "24h" or "30d". Stays text in the plan; `parseDurationMs` gives milliseconds. */
export const durationSchema = z.string().regex(pattern, 'expected a duration such as "90s", "15m", "24h" or "30d"');
