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
  /** An approval counts only when its reason holds these words: what it allows cannot be undone. */
  words?: string;
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

/** Keeps the source from being retired while it is open: an incident, an audit. One open at a time for each person. */
export interface HoldRecord {
  by: string;
  reason: string;
  at: string;
  releasedAt?: string;
}

/** One look at both sides for leftovers while the source is kept. */
export interface LookRecord {
  at: string;
  /** What was there that should not be, one line each, the first twenty. */
  found: string[];
  /** Why it could not be looked. */
  failure?: string;
}

/** What one trigger saw while the target was watched. */
export interface TriggerRecord {
  name: 'slowdown' | 'prometheus' | 'integrity' | 'smoke';
  looks: number;
  /** Looks at which it was too much, or wrong. */
  bad: number;
  /** Looks that could not be made; each counts as an error of the watch. */
  unknown: number;
  /** Of the last look, one line. */
  last?: string;
  breached: boolean;
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
  /** As the copy brought them, where the table has another size by the time that it is compared. */
  copiedBytes?: number;
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

/** Rows of one table that the plan's transformations could not take. */
export interface RejectRecord {
  /** `schema.table`, unquoted. */
  table: string;
  rejects: number;
  /** What the plan takes. */
  maxRejects: number;
}

/** What became of the tables whose columns are other ones on the target. */
export interface TransformationRecord {
  tables: RejectRecord[];
  /** The first twenty, one line each: table, key, column, reason. */
  rejects: string[];
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

/** How near both sides are while the application writes to both. */
export interface Reconciliation {
  /** The side that is right where the two differ: the one that the application uses. */
  judge: 'source' | 'target';
  rounds: number;
  /** Rounds in a row, up to the last one, in which nothing differed. */
  parityInARow: number;
  parityWanted: number;
  /** Of the last round. */
  tables: number;
  rows: string;
  /** Rows that differed and stood still. */
  differing: number;
  /** Rows that were being written while they were compared. */
  moving: number;
  /** What differed when something last did: keys by table, the first twenty and a count. */
  differences: string[];
  /** What could not be compared, one line each, at most ten: then nothing is proved. */
  problems: string[];
  measuredAt: string;
  /** Rows written by the reconciler so far, on either side. */
  repaired: { repairs: number; inserted: number; updated: number; deleted: number };
  /** Writes that the application could not repeat on the other side, as it tells. */
  repeatsFailed?: number;
  endedAt?: string;
}

/** One pass over the tables of a migration in passes: what had changed since the one before was brought to the target. */
export interface PassRecord {
  /** From 1; the live copy before it is none. */
  pass: number;
  /** For people: "before indexes are built", "under the fence". */
  why: string;
  startedAt: string;
  /** Left out while it runs. */
  durationMs?: number;
  tables: number;
  /** Changed or not; while it runs, and once measured. */
  tablesDone?: number;
  /** To the end of the pass, from its tables or from the pass before; left out when it has ended or nothing is known yet. */
  etaMs?: number;
  /** Of which a row was written or deleted. */
  tablesChanged: number;
  /** Written, and deleted, as text. */
  rows: string;
  deleted: string;
  bytes: number;
  /** A pause fell into it: its time says nothing of the next one. */
  paused?: boolean;
  /** It ended before its end: the gate that it was made beside was decided, or it failed. */
  stopped?: boolean;
}

/** How long writes would be stopped if the freeze began now, by what was measured. */
export interface FreezeForecast {
  /** All that follows, and the fences and calls around it. */
  totalMs: number;
  /** The last pass. */
  passMs: number;
  /** Comparing every row, as measured while the source was in use. */
  compareMs: number;
  /** Materialized views, large objects, schemas, and a fixed share for fences and calls. */
  restMs: number;
  /** `maxDowntime`. */
  limitMs: number;
  /** `totalMs` is within the limit, and the pass within half of it. */
  fits: boolean;
  /** One line for people: why there are no more passes, or what is to be expected. */
  verdict: string;
  madeAt: string;
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
  /** Of the plan's probes before anything was changed. */
  probes?: { samples: number; errors: number; errorRatePercent: number };
  /** What the plan's Prometheus query gave then; missing where it gave no number. */
  prometheusValue?: number;
}

/** A thing that the migration made, and whether looking at the end found it gone. */
export interface CreatedObject {
  kind: string;
  where: 'source' | 'target' | 'artifacts' | 'application';
  name: string;
  state: 'present' | 'gone' | 'kept';
  why?: string;
}

/** One step of a rehearsal, as measured. */
export interface RehearsedStep {
  id: string;
  title: string;
  durationMs: number;
  /** Counted within the write freeze. */
  downtime?: boolean;
}

/** The runbook's dry run: this migration, there and back, on scratch servers. */
export interface RehearsalRecord {
  startedAt: string;
  endedAt?: string;
  /** Of the child workflow, the way back included. */
  durationMs?: number;
  /** Copied, as text: may be beyond what a number holds. */
  rows?: string;
  errors: string[];
  /** Undefined until it was compared. */
  validationPassed?: boolean;
  /** How many of the validations passed; the others were skipped or did not. */
  validations?: { passed: number; of: number };
  /** Workflow id of the last child, and which one it was. */
  child?: string;
  attempt?: number;
  outcome?: 'passed' | 'failed';
  /** The way back was gone to its end, and nothing was left. `undo`: before the switch; `hand-over`: after it, without a loss. */
  rollback?: { rehearsed: boolean; way: 'undo' | 'hand-over'; durationMs?: number };
  /** Of the forward way alone, in order. */
  steps?: RehearsedStep[];
  /** Of the plan that it tried, scratch servers apart: production's. */
  planDigest?: string;
  /** Of the scratch source. */
  databaseBytes?: number;
  /** Production's rows to those migrated here; by size only where there are none, since a restored copy is smaller by what is dead in production. */
  sizeRatio?: number;
  /** Rows that the plan's transformations could not take there. */
  rejects?: RejectRecord[];
  /** URL of the child's own report. */
  report?: string;
}

/** What a migration will take, told before anybody approves it; durations in milliseconds, sizes in bytes. */
export interface Prediction {
  /** `assumed`: from sizes and assumed rates; `rehearsal`: from measured times, scaled by size. */
  basis: 'assumed' | 'rehearsal';
  madeAt: string;
  /** What it rests on, one line each. */
  assumptions: string[];
  /** Sum of the steps, waits for people and monitoring left out. */
  totalMs: number;
  /** How long writes are stopped. */
  freezeMs: number;
  /** Data and indexes on the target. */
  diskBytes: number;
  /** WAL that the target writes while they are made. */
  walBytes: number;
  steps: { id: string; title: string; predictedMs: number; downtime?: boolean }[];
}

/** A backup that is no file: kept by the service that made it. */
export interface BackupRecord {
  /** `RDS snapshot`. */
  kind: string;
  name: string;
  arn?: string;
  /** Commands that restore it, in order. */
  restore: string[];
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
  /** Whether there is one. */
  rehearsal?: boolean;
  /** Why there is none, in the words of the plan. */
  rehearsalSkipped?: string;
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
    breachesNeeded?: number;
    prometheusMaxValue?: number;
    /** How many integrity checks, and how many smoke tests are repeated. */
    integrity?: number;
    smoke?: number;
  };
  targetBackup?: string;
  /** What becomes of the source: "its fence stays up", "archived, then dropped". */
  retire?: string;
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
  /** The last one made: before `start` from sizes, before `go-live` from the rehearsal. */
  prediction?: Prediction;
  rollback?: RollbackRecord;
  copy?: CopyProgress;
  /** CDC. */
  replication?: Replication;
  handOvers?: HandOverRecord[];
  /** Dual write. */
  reconciliation?: Reconciliation;
  /** Migrations in passes: the first 25 and the last 25. */
  passes?: PassRecord[];
  /** How many passes there are between those listed in `passes`. */
  passesNotListed?: number;
  forecast?: FreezeForecast;
  tables?: TableRecord[];
  /** How many tables there are beyond those listed in `tables`. */
  tablesNotListed?: number;
  validation?: ValidationRecord[];
  /** Left out where the plan has none. */
  transformations?: TransformationRecord;
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
    triggers?: TriggerRecord[];
  };
  holds?: HoldRecord[];
  /** What people noted for those who come after them: at most a hundred. */
  lessons?: NoteRecord[];
  looks?: LookRecord[];
  /** What the plan had done with the source at the end, from the moment that it was begun: there may be nothing to go back to. */
  sourceRetired?: 'dropped' | 'by-command';
  /** After the point of no return: what going back would lose, as last measured; `writes` is missing where the target could not be asked. */
  loss?: { writes?: string; words: string; measuredAt: string; detail: string[]; acceptedAt?: string };
  /** The final backup of the source, where it is no file among `artifacts`. */
  backup?: BackupRecord;
  artifacts: { name: string; url: string; sha256: string; bytes: number }[];
  left: CreatedObject[];
}
