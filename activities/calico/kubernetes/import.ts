// The export file onto the cluster: looked at whole before the first write, written in the order of dependencies, and runnable again at any point:
// what a run before this one has written is found equal.
import type { KindImport } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import { failure } from '../../errors';
import { withHeartbeat, type Beat } from '../../heartbeat';
import type { CalicoScope, Encoding } from '../scope';
import type { KubernetesDependencies } from './dependencies';
import { lookBeforeImport, type ImportLook } from './import-look';
import { ImportWriter } from './import-writer';
import { readInventory } from './inventory';
import { readWanted } from './wanted';

export interface ImportRequest {
  scope: CalicoScope;
  /** The export file. */
  file: ArtifactReference;
  /** What was there before us; what is replaced must be in it whole. */
  inventory: ArtifactReference;
  encoding: Encoding;
  /** An object that is there with another content: nothing at all is written, or it is replaced. */
  existing: 'stop' | 'replace';
  writers: number;
  /** 0: without a limit. */
  maxWritesPerSecond: number;
}

export interface ImportResult {
  kinds: KindImport[];
  /** The first twenty: what is there with another content and was left alone. */
  conflicts: string[];
  conflictsTotal: number;
  objects: number;
  /** Of looking and writing. */
  durationMs: number;
  /** Written, while it was writing. */
  objectsPerSecond: number;
  /** How often the apiserver asked to slow down. */
  throttled: number;
}

export interface ImportProgress {
  done: number;
  total: number;
  /** Objects a second. */
  rate: number;
  etaMs?: number;
  kind?: string;
}

export function createImportActivities({ kubernetes, artifacts }: KubernetesDependencies) {
  return {
    /**
     * @throws TargetConflict naming what is there with another content, before anything is written; PreconditionFailed naming what the
     * apiserver does not accept; TargetUnavailable (retryable), AuthDenied
     */
    importCalico: (request: ImportRequest): Promise<ImportResult> =>
      withHeartbeat<ImportProgress, ImportResult>({ done: 0, total: 0, rate: 0 }, async (beat) => {
        const { scope, existing, writers, maxWritesPerSecond } = request;
        const { objects } = await readWanted(artifacts, request.file, request.encoding);
        const inventory = await readInventory(artifacts, request.inventory);
        const api = await kubernetes.connect(scope.target);
        api.limitWrites(maxWritesPerSecond);
        const startedAt = Date.now();
        const look = await lookBeforeImport(api, objects.values(), { existing, inventory }, (kind) => {
          beat.signal.throwIfAborted();
          beat.report({ done: 0, total: objects.size, rate: 0, kind });
        });
        refuseConflicts(look, existing);
        const writer = new ImportWriter(api, look.kinds, writers, progressOf(beat, objects.size, look));
        const writingSince = Date.now();
        await writer.write(look, beat.signal);
        const now = Date.now();
        return {
          kinds: [...look.kinds.values()],
          conflicts: look.conflicts.lines,
          conflictsTotal: look.conflicts.total,
          objects: objects.size,
          durationMs: now - startedAt,
          objectsPerSecond: Math.round((writer.written * 1_000) / Math.max(now - writingSince, 1)),
          throttled: api.counters.throttled,
        };
      }),
  };
}

function refuseConflicts({ conflicts }: ImportLook, existing: ImportRequest['existing']): void {
  if (conflicts.total === 0) return;
  const advice =
    existing === 'stop'
      ? 'Remove them, or let the plan say "existing": "replace": their content is kept for the way back.'
      : 'Somebody else writes to this cluster; stop that, and start again so that a new inventory is taken.';
  throw failure(
    'TargetConflict',
    `${conflicts.total} objects are on the cluster already, with another content than the source's. Nothing was written. ${conflicts.linesAndRest.join(' | ')}. ${advice}`,
    { conflicts: conflicts.lines, conflictsTotal: conflicts.total },
  );
}

/** Progress counts from what was there already; the rate is of this run's writes. */
function progressOf({ report }: Beat<ImportProgress>, total: number, look: ImportLook) {
  const startedAt = Date.now();
  const before = total - look.create.length - look.replace.length;
  return (written: number, kind: string): void => {
    const rate = written / Math.max((Date.now() - startedAt) / 1_000, 0.001);
    const done = before + written;
    const etaMs = rate > 0 ? Math.round(((total - done) / rate) * 1_000) : undefined;
    report({ done, total, rate: Math.round(rate), kind, ...(etaMs !== undefined && { etaMs }) });
  };
}
