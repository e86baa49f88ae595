// What a running activity says of itself, in one line.
import { formatBytes } from '../journal/quantities';
import { formatDurationMs } from '../plan/duration';
import { plainText } from './output';

/** Whatever an activity reports, shortly: text as it is, small objects as `name value`. */
export function progressText(progress: unknown): string {
  if (typeof progress === 'string' || typeof progress === 'number') return plainText(String(progress));
  if (typeof progress !== 'object' || progress === null) return '';
  return Object.entries(progress)
    .filter(([, value]) => ['string', 'number'].includes(typeof value))
    .map(([name, value]) => quantityText(name, value))
    .join(', ');
}

/** The unit is in the name: `bytes`, `etaMs`. */
function quantityText(name: string, value: unknown): string {
  if (/bytes/i.test(name)) return `${name} ${formatBytes(Number(value))}`;
  if (name.endsWith('Ms')) return `${name.slice(0, -2)} ${formatDurationMs(Number(value))}`;
  return `${name} ${plainText(String(value))}`;
}
