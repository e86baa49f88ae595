// The messages that a migration understands: names, payloads, parsers. Shared by workflows, client and tests; no I/O, no Node.
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import { foundText } from '../plan/parse';
import type {
  CalicoAccounting,
  Check,
  CopyProgress,
  Downtime,
  FreezeForecast,
  GateRecord,
  HandOverRecord,
  HoldRecord,
  Journal,
  KindImport,
  LookRecord,
  NoteRecord,
  Reconciliation,
  PassRecord,
  RefusedMessage,
  RejectRecord,
  RehearsedStep,
  Replication,
  StepRecord,
  ValidationRecord,
} from '../journal/types';

export const taskQueue = 'migrations';
export const migrationTypes = ['postgresMigration', 'calicoMigration'] as const;
export type MigrationType = (typeof migrationTypes)[number];

/** Search attributes, all Keyword; registered by the worker at start where it may. */
export const searchAttributeNames = ['MigrationKind', 'MigrationPhase', 'MigrationGate'] as const;

export interface GateDecision {
  gate: string;
  by: string;
  reason?: string;
}
export interface DecideRequest extends GateDecision {
  decision: 'approve' | 'reject';
}
export interface RollbackRequest {
  by: string;
  reason: string;
  /** After the point of no return, where going back loses writes: the words that status asks for. */
  words?: string;
}
export interface RetryRequest {
  by: string;
}
export interface SkipRequest {
  step: string;
  by: string;
  reason: string;
}
export interface PauseRequest {
  by: string;
  reason?: string;
}
export interface ResumeRequest {
  by: string;
}
export interface TuneRequest {
  copyLanes?: number;
  maxBytesPerSecond?: number;
}

export interface RecopyRequest {
  /** `schema.table`, unquoted. */
  table: string;
  by: string;
}

export interface HoldRequest {
  by: string;
  reason: string;
}

export interface ReleaseRequest {
  by: string;
}

export interface NoteRequest {
  by: string;
  text: string;
}

export const approveSignal = defineSignal<[GateDecision]>('approve');
export const rejectSignal = defineSignal<[GateDecision]>('reject');
export const rollbackSignal = defineSignal<[RollbackRequest]>('rollback');
export const retrySignal = defineSignal<[RetryRequest]>('retry');
export const skipSignal = defineSignal<[SkipRequest]>('skip');
export const pauseSignal = defineSignal<[PauseRequest]>('pause');
export const resumeSignal = defineSignal<[ResumeRequest]>('resume');
export const tuneSignal = defineSignal<[TuneRequest]>('tune');
export const recopySignal = defineSignal<[RecopyRequest]>('recopy');
export const holdSignal = defineSignal<[HoldRequest]>('hold');
export const releaseSignal = defineSignal<[ReleaseRequest]>('release');
export const noteSignal = defineSignal<[NoteRequest]>('note');

/** What the `status` query and the `decide` update answer. Times ISO 8601 UTC, durations ms, sizes bytes. */
export interface MigrationStatus {
  migration: string;
  kind: Journal['kind'];
  phase: string;
  outcome?: Journal['outcome'];
  startedAt: string;
  endedAt?: string;
  reason?: string;
  /** The open gate, or `none`. */
  gate: string;
  blocked?: Journal['blocked'];
  paused?: Journal['paused'];
  pointOfNoReturnAt?: string;
  steps: StepRecord[];
  gates: GateRecord[];
  refused: RefusedMessage[];
  checks?: Check[];
  copy?: CopyProgress;
  /** CDC. */
  replication?: Replication;
  handOvers?: HandOverRecord[];
  /** Dual write. */
  reconciliation?: Reconciliation;
  /** Migrations in passes: the first 25 and the last 25. */
  passes?: PassRecord[];
  passesNotListed?: number;
  forecast?: FreezeForecast;
  /** Calico. */
  accounting?: CalicoAccounting;
  imports?: KindImport[];
  validation?: ValidationRecord[];
  /** Rows that the plan's transformations could not take, by table; left out where it has none. */
  rejects?: RejectRecord[];
  downtime?: Downtime;
  rehearsal?: Journal['rehearsal'];
  prediction?: Journal['prediction'];
  loss?: Journal['loss'];
  /** Everything that keeps, or kept, the source from being retired. */
  holds?: HoldRecord[];
  /** What people noted for those who come after them. */
  lessons?: NoteRecord[];
  /** The looks for leftovers while the source is kept. */
  looks?: LookRecord[];
  reportUrl?: string;
}

export const statusQuery = defineQuery<MigrationStatus>('status');
/** Markdown of the report as far as the migration has got. */
export const reportQuery = defineQuery<string>('report');
/** The whole journal, for the HTML and JSON forms of the report. */
export const journalQuery = defineQuery<Journal>('journal');
export const decideUpdate = defineUpdate<MigrationStatus, [DecideRequest]>('decide');

/** What a migration returns. */
export interface MigrationResult {
  outcome: NonNullable<Journal['outcome']>;
  /** URL of the HTML report. */
  reportArtifact: string;
  downtimeMs?: number;
  /** Rows, or for Calico objects; as text. */
  rows?: string;
  differences?: number;
  /** Of a rehearsal: what its parent shows at the gate. */
  rehearsal?: RehearsalFindings;
}

/** Second argument of `postgresMigration`: carry the plan out on scratch servers, and go back at the end. For children alone. */
export interface RehearsalOrder {
  rehearse: 'rollback';
}

/** What a rehearsal found. */
export interface RehearsalFindings {
  /** Everything went well up to where going back was to begin. */
  reached: boolean;
  /** Why it went back before that. */
  failure?: string;
  validationPassed?: boolean;
  validations?: { passed: number; of: number };
  /** The way back, from its beginning to the end of the migration. */
  rollbackMs?: number;
  /** What is still there on the scratch servers and should not be. */
  left: string[];
  /** Of the forward way, in order. */
  steps: RehearsedStep[];
  databaseBytes?: number;
  /** Rows that the plan's transformations could not take. */
  rejects?: RejectRecord[];
}

export type Parsed<Payload> = { ok: true; payload: Payload } | { ok: false; why: string };

type Field = { name: string; type: 'string' | 'positive integer' | 'whole number'; required: boolean };

const text = (name: string, required = true): Field => ({ name, type: 'string', required });

/** The fields of every message, as signals are sent: payload types are not checked by anybody else. */
const fields = {
  approve: [text('gate'), text('by'), text('reason', false)],
  reject: [text('gate'), text('by'), text('reason', false)],
  rollback: [text('by'), text('reason'), text('words', false)],
  retry: [text('by')],
  skip: [text('step'), text('by'), text('reason')],
  pause: [text('by'), text('reason', false)],
  resume: [text('by')],
  tune: [
    { name: 'copyLanes', type: 'positive integer', required: false },
    { name: 'maxBytesPerSecond', type: 'whole number', required: false },
  ],
  recopy: [text('table'), text('by')],
  hold: [text('by'), text('reason')],
  release: [text('by')],
  note: [text('by'), text('text')],
} satisfies Record<string, Field[]>;

export type MessageName = keyof typeof fields;

interface Payloads {
  approve: GateDecision;
  reject: GateDecision;
  rollback: RollbackRequest;
  retry: RetryRequest;
  skip: SkipRequest;
  pause: PauseRequest;
  resume: ResumeRequest;
  tune: TuneRequest;
  recopy: RecopyRequest;
  hold: HoldRequest;
  release: ReleaseRequest;
  note: NoteRequest;
}

/** The journal keeps what people write; it must stay small. */
const longestText = 1_000;

/** A value as a refusal quotes it: short, and without anything that looks like a secret. */
function shown(value: unknown): string {
  return value === undefined ? 'nothing' : foundText([], value);
}

/** Checks the payload of a message; says what is wrong instead of throwing. */
export function parseMessage<Name extends MessageName>(name: Name, payload: unknown): Parsed<Payloads[Name]> {
  if (payload === null || typeof payload !== 'object' || Array.isArray(payload)) {
    return {
      ok: false,
      why: `found ${shown(payload)}, expected a JSON object such as ${examples[name]}`,
    };
  }
  const given = payload as Record<string, unknown>;
  const known: Field[] = fields[name];
  const wrong = known.flatMap((field) => problem(field, given[field.name]));
  const unknown = Object.keys(given)
    .slice(0, 5)
    .map((key) => key.slice(0, 60))
    .filter((key) => !known.some((field) => field.name === key));
  wrong.push(...unknown.map((key) => `${key} is not a field of ${name}`));
  if (name === 'tune' && Object.keys(given).length === 0)
    wrong.push('one of copyLanes and maxBytesPerSecond must be there');
  if (wrong.length > 0) return { ok: false, why: `${wrong.join('; ')}; for example ${examples[name]}` };
  return { ok: true, payload: given as unknown as Payloads[Name] };
}

function problem(field: Field, value: unknown): string[] {
  if (value === undefined || value === null) return field.required ? [`${field.name} is missing`] : [];
  if (field.type === 'string') {
    if (typeof value !== 'string') return [`${field.name} is ${shown(value)}, expected text`];
    if (value.length > longestText)
      return [`${field.name} has ${value.length} characters, expected at most ${longestText}`];
    return value.trim() ? [] : [`${field.name} is empty`];
  }
  const least = field.type === 'positive integer' ? 1 : 0;
  const fits =
    typeof value === 'number' &&
    Number.isInteger(value) &&
    value >= least &&
    (field.name !== 'copyLanes' || value <= 64);
  return fits
    ? []
    : [`${field.name} is ${shown(value)}, expected a ${field.type}${field.name === 'copyLanes' ? ' up to 64' : ''}`];
}

/** Literal payloads: the only help that the Web UI's dialogs show. */
export const examples: Record<MessageName, string> = {
  approve: '{"gate": "cutover", "by": "anna", "reason": "checks are green"}',
  reject: '{"gate": "cutover", "by": "anna", "reason": "month-end run is still going"}',
  rollback: '{"by": "anna", "reason": "checkout is failing"}',
  retry: '{"by": "anna"}',
  skip: '{"step": "performance", "by": "anna", "reason": "no traffic at night"}',
  pause: '{"by": "anna", "reason": "backup window"}',
  resume: '{"by": "anna"}',
  tune: '{"copyLanes": 8, "maxBytesPerSecond": 50000000}',
  recopy: '{"table": "public.orders", "by": "anna"}',
  hold: '{"by": "anna", "reason": "incident 4711: invoices are wrong"}',
  release: '{"by": "anna"}',
  note: '{"by": "anna", "text": "build the index on events before the next one"}',
};
