// Which builds may run at the same time: each waits for what it needs, none runs beside one that would block it, and the
// biggest goes first, since the last one alone decides when all are done.

export interface Build<Work> {
  id: string;
  /** Ids of builds that must be done before; unknown ids count as done. */
  needs: string[];
  /** Tables that it locks. */
  tables: string[];
  /** Whether it tolerates nobody else on its tables; two that only read may share one. */
  exclusive: boolean;
  /** Greater goes first. */
  weight: number;
  work: Work;
}

export class BuildQueue<Work> {
  private readonly waiting: Build<Work>[];
  private readonly running = new Set<Build<Work>>();
  private readonly undone: Set<string>;
  private wake: (() => void)[] = [];
  private failed = false;
  private failure: unknown;

  constructor(builds: Build<Work>[]) {
    this.waiting = [...builds].sort((left, right) => right.weight - left.weight);
    this.undone = new Set(builds.map(({ id }) => id));
  }

  /**
   * Runs all builds in so many lanes; `lane` is called once for each and takes builds until there are none. After a failure no
   * build is begun; those that run come to their end, and the first failure is thrown.
   */
  async run(lanes: number, lane: (builds: AsyncIterable<Work>) => Promise<void>): Promise<void> {
    const count = Math.min(lanes, this.waiting.length);
    await Promise.all(
      Array.from({ length: count }, () =>
        lane(this.builds()).catch((error: unknown) => {
          this.failure ??= error;
          this.failed = true;
          this.wakeAll();
        }),
      ),
    );
    if (this.failed) throw this.failure;
  }

  private async *builds(): AsyncGenerator<Work> {
    while (!this.failed && this.waiting.length > 0) {
      const build = this.take();
      if (build) {
        let built = false;
        try {
          yield build.work;
          built = true;
          this.undone.delete(build.id);
        } finally {
          // Known before the lane has closed its session and can say why.
          if (!built) this.failed = true;
          this.running.delete(build);
          this.wakeAll();
        }
      } else if (this.running.size === 0) {
        throw new Error(`builds wait for each other: ${this.waiting.map(({ id }) => id).join(', ')}`);
      } else await new Promise<void>((resolve) => this.wake.push(resolve));
    }
  }

  private take(): Build<Work> | undefined {
    const index = this.waiting.findIndex(
      (build) =>
        !build.needs.some((need) => this.undone.has(need)) &&
        ![...this.running].some((other) => conflict(build, other)),
    );
    if (index === -1) return undefined;
    const [build] = this.waiting.splice(index, 1);
    if (build) this.running.add(build);
    return build;
  }

  private wakeAll(): void {
    const sleepers = this.wake;
    this.wake = [];
    for (const resolve of sleepers) resolve();
  }
}

function conflict<Work>(one: Build<Work>, other: Build<Work>): boolean {
  return (one.exclusive || other.exclusive) && one.tables.some((table) => other.tables.includes(table));
}
