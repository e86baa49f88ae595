// Work on a stream of items, several at a time, without ever holding more of the stream than is being worked on.

/** Ends when all are done. The first error stops the taking of new items and is thrown once nothing is under way any more. */
export async function inLanes<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  lanes: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  const underWay = new Set<Promise<void>>();
  for await (const item of items) {
    const job: Promise<void> = work(item)
      .catch((error: unknown) => void failures.push(error))
      .finally(() => underWay.delete(job));
    underWay.add(job);
    if (underWay.size >= lanes) await Promise.race(underWay);
    if (failures.length > 0) break;
  }
  await Promise.all(underWay);
  if (failures.length > 0) throw failures[0];
}
