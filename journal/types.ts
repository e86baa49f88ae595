// What a migration has done, found and been told: the one record from which status, details and report are rendered.
// Plain JSON: times are ISO 8601 UTC, durations milliseconds, sizes bytes.

export type Outcome = 'completed' | 'rolled-back' | 'rejected';

export type StepState = 'running' | 'done' | 'failed' | 'skipped' | 'undoing' | 'undone' | 'undo-failed';

/** One step of the runbook, or of its rollback. */
export interface StepRecord {
  /** Stable identity that `skip` names: `copy-data`. */
  id: string;
  title: string;
  phase: string;
  state: StepState;
  startedAt: string;
  endedAt?: string;
  durationMs?: number;
  /** How often an operator had it tried again. */
  retries: number;
  /** One line for people: "3 tables, 1 204 113 rows, 512 MB". */
  result?: string;
  failure?: string;
  skippable: boolean;
  /** Counted within the write freeze of the application. */
  downtime?: boolean;
  /** A step of a hand-over that leads back to the source. */
  goingBack?: boolean;
}

export interface Decision {
  decision: 'approve' | 'reject';
  by: string;
  reason?: string;
  at: string;
}

export interface GateRecord {
  name: string;
  state: 'open' | 'approved' | 'rejected' | 'timed-out' | 'auto' | 'withdrawn';
  openedAt: string;
  closedAt?: string;
  approversNeeded: number;
  closesAt?: string;
  onTimeout?: 'reject' | 'wait';
  /** What the people deciding should see: one line each. */
  evidence: string[];
  decisions: Decision[];
}

/** A signal that changed nothing, and why: mistyped, early, twice, unknown. */
export interface RefusedMessage {
  name: string;
  at: string;
  by?: string;
  why: string;
}

export interface NoteRecord {
  at: string;
  text: string;
  by?: string;
}

/** One finding of preflight or validation. */
export interface Check {
  /** Stable identity that waivers name: `target-empty`. */
  name: string;
  title: string;
  outcome: 'pass' | 'warn' | 'fail';
  /** Where it was looked: source, target, both, application, worker. */
  side: 'source' | 'target' | 'both' | 'application' | 'worker';
  found: string;
  expected?: string;
  /** SQL or a command that mends it. */
  fix?: string;
  durationMs?: number;
  /** Set where the plan accepts the failure. */
  waived?: string;
}

/** A table as copied and compared. */
export interface TableRecord {
  /** `schema.table`, unquoted. */
  table: string;
  rows: string;
  bytes: number;
  copyMs?: number;
  /** Order-free digest of all rows, hex, the same on both sides when equal. */
  digest?: string;
  equal?: boolean;
}

/** One line of the validation table: source and target value, equal or not, time taken. */
export interface ValidationRecord {
  name: string;
  source?: string;
  target?: string;
  outcome: 'pass' | 'fail' | 'unverifiable' | 'skipped';
  durationMs: number;
  /** What differs: keys, names; the first twenty and a count. */
  differences?: string[];
}

export interface CopyProgress {
  rows: string;
  rowsEstimated: string;
  bytesCopied: number;
  bytesTotal: number;
  chunksDone: number;
  chunksTotal: number;
  tablesDone: number;
  tablesTotal: number;
  bytesPerSecond?: number;
  etaMs?: number;
  measuredAt: string;
}

/** One publication, slot and subscription of the same name. */
export interface StreamRecord {
  name: string;
  from: 'source' | 'target';
  tables: number;
  state: 'preparing' | 'catching-up' | 'streaming' | 'stopped' | 'broken';
  /** Sent and not yet flushed on the other side; shown to people, never a proof. */
  lagBytes?: number;
  /** Failed applications since the subscription was made. */
  errors: number;
}

/** The streams of a migration by CDC, as last looked at. */
export interface Replication {
  /** Who follows whom: forward is source to target. */
  direction: 'forward' | 'backward';
  /** How often the writing side has changed. */
  leg: number;
  /** The first twenty. */
  streams: StreamRecord[];
  /** From a marker's commit on the writing side until it was seen on the other. */
  lagMs?: number;
  /** WAL that our slots hold back on the writing server. */
  retainedWalBytes?: number;
  /** What keeps a cutover from beginning, one line each. */
  problems: string[];
  measuredAt: string;
  /** Since when the streams are gone. */
  endedAt?: string;
  /** What the slot guardian last said. */
  guardian?: { level: 'fine' | 'alert' | 'slow' | 'pause' | 'drop'; detail: string; at: string };
}

/** One change of the writing side, or one that was tried. */
export interface HandOverRecord {
  from: 'source' | 'target';
  to: 'source' | 'target';
  startedAt: string;
  outcome: 'under-way' | 'switched' | 'given-up';
  /** From the stop of writes until the application wrote again, by the workflow's clock. */
  outageMs?: number;
  /** As the application saw it: last acknowledged write on the old side to the first on the new. */
  freezeMs?: number;
  /** Where the time went, in order. */
  parts: { name: string; ms: number }[];
  why?: string;
}

export interface Downtime {
  /** Maintenance mode or fence, whichever came first; for Calico the lock of the source. */
  startedAt: string;
  endedAt?: string;
  durationMs?: number;
}

export interface BaselineMetrics {
  measuredAt: string;
  databaseBytes: number;
  tables: number;
  rows: string;
  /** `schema.table.column` -> greatest value, as text. */
  latestUpdate?: { column: string; value: string };
  connections: number;
  /** Of the source's own standbys; undefined when it has none. */
  replicationLagBytes?: number;
}

/** A thing that the migration made, and whether looking at the end found it gone. */
export interface CreatedObject {
  kind: string;
  where: 'source' | 'target' | 'artifacts' | 'application';
  name: string;
  state: 'present' | 'gone' | 'kept';
  why?: string;
}

/** The runbook's dry run, on scratch servers. */
export interface RehearsalRecord {
  startedAt: string;
  endedAt?: string;
  durationMs?: number;
  /** Copied, as text: may be beyond what a number holds. */
  rows?: string;
  errors: string[];
  /** Undefined until it was compared. */
  validationPassed?: boolean;
}

/** The five rows of the runbook's rollback table. */
export type RollbackStepName =
  'maintenance-mode' | 'source-primary' | 'application-switched' | 'smoke-on-source' | 'target-preserved';

export interface RollbackRecord {
  startedAt: string;
  endedAt?: string;
  durationMs?: number;
  /** Who asked; undefined when a trigger, a timeout or a cancellation did. */
  by?: string;
  reason: string;
  steps: {
    name: RollbackStepName;
    state: 'done' | 'failed' | 'not-needed' | 'running';
    at?: string;
    durationMs?: number;
    /** One line: what was found, or why it was not needed. */
    detail?: string;
  }[];
}

/** What the plan asked for, as far as the report speaks of it. */
export interface PlanFacts {
  snapshot?: string;
  rehearsal?: boolean;
  application?: boolean;
  monitorMs?: number;
  retainSourceMs?: number;
  maxRegressionPercent?: number;
  triggers?: {
    errorRatePercent: number;
    slowdownPercent: number;
    probes: number;
    intervalMs: number;
    windowMs: number;
  };
}

/** Where the keys of one kind of Calico data ended: `source` is the sum of the three others. */
export interface KindAccount {
  /** `IPPool`, `IPAMBlock`, `Felix status`. */
  kind: string;
  source: number;
  migrated: number;
  /** Kubernetes' own, or made anew by Calico itself: knp, kns, ksa, workload endpoints, status reports. */
  derived: number;
  refused: number;
}

/** Where every key of the etcd datastore ended, at one revision. */
export interface CalicoAccounting {
  /** etcd revision, as text. */
  revision: string;
  kinds: KindAccount[];
  /** The first fifty. */
  refused: { key: string; reason: string }[];
  refusedNotListed: number;
  /** What is migrated, but deserves a look: IPAM entries of nodes that are gone, objects renamed. One line each, the first fifty. */
  remarks: string[];
}

/** What the import found and did, for each kind; counted anew whenever it runs. */
export interface KindImport {
  kind: string;
  /** What the source has for the target. */
  wanted: number;
  created: number;
  /** On the target already, with the same content. */
  equal: number;
  replaced: number;
  /** On the target with another content, and left alone. */
  conflicting: number;
}

/** Everything that is known of one migration. */
export interface Journal {
  migration: string;
  runId: string;
  kind: 'postgres' | 'calico';
  plan: { name: string; strategy?: string; digest: string; source: string; target: string; facts?: PlanFacts };
  /** Of the servers: "PostgreSQL 15.18". */
  versions?: { source: string; target: string };
  phase: string;
  outcome?: Outcome;
  startedAt: string;
  endedAt?: string;
  /** Why it is blocked, rolling back, or ended as it did. */
  reason?: string;
  /** `ending`: it is going back or ending already, so a rollback is no choice. */
  blocked?: { step: string; failure: string; skippable: boolean; ending?: boolean };
  paused?: { by: string; at: string; reason?: string };
  /** After it, going back means losing or streaming back what was written since. */
  pointOfNoReturnAt?: string;
  steps: StepRecord[];
  gates: GateRecord[];
  refused: RefusedMessage[];
  notes: NoteRecord[];
  preflight?: Check[];
  baseline?: BaselineMetrics;
  decision?: {
    strategy: string;
    recommended: string;
    reasons: string[];
    rationale: string;
    estimatedDurationMs?: number;
    acceptableDowntimeMs?: number;
  };
  rehearsal?: RehearsalRecord;
  rollback?: RollbackRecord;
  copy?: CopyProgress;
  /** CDC. */
  replication?: Replication;
  handOvers?: HandOverRecord[];
  tables?: TableRecord[];
  /** How many tables there are beyond those listed in `tables`. */
  tablesNotListed?: number;
  validation?: ValidationRecord[];
  /** Calico. */
  accounting?: CalicoAccounting;
  imports?: KindImport[];
  fidelity?: { compared: number; accepted: string[]; differences: string[] };
  downtime?: Downtime;
  monitoring?: {
    samples: number;
    errors: number;
    errorRatePercent: number;
    slowdownPercent?: number;
    breaches: string[];
  };
  /** After the point of no return: what going back would lose, as last measured; `writes` is missing where the target could not be asked. */
  loss?: { writes?: string; words: string; measuredAt: string; detail: string[]; acceptedAt?: string };
  artifacts: { name: string; url: string; sha256: string; bytes: number }[];
  left: CreatedObject[];
}
