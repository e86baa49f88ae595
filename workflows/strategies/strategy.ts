// What differs between strategies that fence once and then switch: how data moves before the fence, and what is left to move under it.

/** Made for one migration; keeps what it has to remember of it. */
export interface Strategy {
  /** While the source still takes writes; before every attempt. */
  beforeFence(): Promise<void>;
  /** What the people at the gate `cutover` should see of it, one line each. */
  evidence(): string[];
  /** Under the fence, with nothing writing to the source. Every step counts as downtime. */
  underFence(): Promise<void>;
  /** What was moved before the fence stays when a freeze runs out of time: only the freeze is undone, and the next attempt goes on from there. */
  readonly lasting?: boolean;
  /** Opens the gate, and does what goes on beside it and between it and the outage. */
  atGate?(openGate: () => Promise<void>): Promise<void>;
  /** Under the fence, when every validation has passed: the application must be able to reach the target. */
  openTarget?(): Promise<void>;
}
