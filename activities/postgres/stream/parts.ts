// Where the time of an activity in the outage went. People read it afterwards to see what to make shorter.

/** Milliseconds, to a tenth. */
export interface Part {
  name: string;
  ms: number;
}

/** Takes the time of one thing after the other, or of several at once. */
export class Parts {
  /** In the order in which they began. */
  readonly all: Part[] = [];

  /** Runs `work` and notes how long it took, also when it fails. */
  async time<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const part: Part = { name, ms: 0 };
    this.all.push(part);
    const started = performance.now();
    try {
      return await work();
    } finally {
      part.ms = Math.round((performance.now() - started) * 10) / 10;
    }
  }
}
