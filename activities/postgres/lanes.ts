// Work shared out over a few sessions within one activity.

/**
 * Runs `lane` up to `lanes` times side by side, each taking items by `next` until it gives undefined. One failure lets the others
 * finish the item they are at and is thrown when all have come back.
 */
export async function takeTurns<Item>(
  items: readonly Item[],
  lanes: number,
  lane: (next: () => Item | undefined) => Promise<void>,
): Promise<void> {
  let at = 0;
  let failed = false;
  const next = (): Item | undefined => {
    if (failed) return undefined;
    at += 1;
    return items[at - 1];
  };
  const running = Array.from({ length: Math.min(lanes, items.length) }, () =>
    lane(next).catch((error: unknown) => {
      failed = true;
      throw error;
    }),
  );
  const results = await Promise.allSettled(running);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
