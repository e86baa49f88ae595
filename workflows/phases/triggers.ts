// What the triggers beside the error rate saw, over all watches of a migration, and in words. Pure.
import type { TriggerRecord } from '../../journal/types';

const names: Record<TriggerRecord['name'], string> = {
  slowdown: 'query times',
  prometheus: 'Prometheus',
  integrity: 'integrity checks',
  smoke: 'smoke tests',
};

/** Looks of several watches are added up; the last word is that of the latest. Nothing where no trigger looked. */
export function mergeTriggers(
  before: TriggerRecord[] = [],
  seen: TriggerRecord[] = [],
): { triggers?: TriggerRecord[] } {
  const later = seen.map((trigger) => {
    const earlier = before.find(({ name }) => name === trigger.name);
    if (!earlier) return trigger;
    return {
      ...trigger,
      looks: trigger.looks + earlier.looks,
      bad: trigger.bad + earlier.bad,
      unknown: trigger.unknown + earlier.unknown,
      breached: trigger.breached || earlier.breached,
    };
  });
  const only = before.filter(({ name }) => !seen.some((trigger) => trigger.name === name));
  const triggers = [...only, ...later];
  return triggers.length > 0 ? { triggers } : {};
}

/** "smoke tests: 12 looks, 2 bad, 1 could not be made; last: 3 of 3 passed" */
export function describeTriggers(triggers: TriggerRecord[] = []): string[] {
  return triggers.map(({ name, looks, bad, unknown, last }) =>
    [
      `${names[name]}: ${looks} looks, ${bad} bad`,
      unknown > 0 ? `, ${unknown} could not be made` : '',
      last ? `; last: ${last}` : '',
    ].join(''),
  );
}
