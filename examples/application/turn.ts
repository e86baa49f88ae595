// One after the other: what changes mode, side or dual write may wait for writes to end, and another change in between would find half of it done.
export class Turn {
  private last: Promise<unknown> = Promise.resolve();

  /** Begins when everything asked for earlier has ended. */
  take<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = this.last.then(work);
    this.last = mine.catch(() => undefined);
    return mine;
  }
}
