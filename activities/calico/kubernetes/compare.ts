// The proof of the import: every object and every node that was to be written is read back and compared field by field. What a CRD has
// dropped in silence, a rounded number, a writer that ignores the lock: here it shows.
import type { KindImport, ValidationRecord } from '../../../journal/types';
import type { ArtifactReference } from '../../artifacts/store';
import { withHeartbeat, type Beat } from '../../heartbeat';
import { differences, nodeDifferences } from '../model/compare';
import { describeObject, type DesiredObject } from '../model/desired';
import { crdKinds } from '../model/kinds';
import type { CalicoScope, Encoding } from '../scope';
import { isStartUpObject, isUnlock, ownDoing } from './calicos-doing';
import type { KubernetesDependencies } from './dependencies';
import type { KubernetesApi } from './api';
import { Findings } from './findings';
import { readInventory, type Inventory } from './inventory';
import { isIpam, keyOf, presentNodes, presentObjects, type CustomKind } from './present';
import { readWanted, type Wanted } from './wanted';

export interface CompareRequest {
  scope: CalicoScope;
  /** The export file. */
  file: ArtifactReference;
  encoding: Encoding;
  /** What was there before us: without it, everything that the file does not have counts as foreign. */
  inventory?: ArtifactReference;
  /** After the switch: what a Calico that starts on a locked datastore does by itself is a remark, not a failure. */
  running?: boolean;
  /** After the unlock: the lock itself is not compared. */
  unlocked?: boolean;
}

export interface Comparison {
  /** One for each kind that the file or the target has, and one for the nodes. A record that passes may still list remarks. */
  records: ValidationRecord[];
  kinds: KindImport[];
}

export interface CompareProgress {
  kind: string;
  compared: number;
  of: number;
}

export function createCompareActivities({ kubernetes, artifacts }: KubernetesDependencies) {
  return {
    /**
     * Changes nothing. Missing and different objects fail; objects of others are remarks, but fail where they are IPAM: they would give
     * addresses away twice.
     * @throws TargetUnavailable (retryable), AuthDenied, PreconditionFailed
     */
    compareImported: (request: CompareRequest): Promise<Comparison> =>
      withHeartbeat<CompareProgress, Comparison>({ kind: 'export file', compared: 0, of: 0 }, async (beat) => {
        const wanted = await readWanted(artifacts, request.file, request.encoding);
        const before = request.inventory && (await readInventory(artifacts, request.inventory));
        const api = await kubernetes.connect(request.scope.target);
        const look = new Look(api, wanted, before, request, beat);
        const found = [];
        for (const kind of crdKinds) found.push(await look.atKind(kind));
        return {
          records: [
            ...found.flatMap(({ record }) => record ?? []),
            ...(await look.atNodes()),
            ...inexpressible(wanted),
          ],
          kinds: found.flatMap(({ counts }) => (counts.wanted > 0 ? [counts] : [])),
        };
      }),
  };
}

interface KindFound {
  /** Undefined when neither side has anything. */
  record?: ValidationRecord;
  counts: KindImport;
}

class Look {
  private compared = 0;
  private readonly byKind = new Map<string, DesiredObject[]>();

  constructor(
    private readonly api: KubernetesApi,
    private readonly wanted: Wanted,
    private readonly before: Inventory | undefined,
    private readonly expecting: Pick<CompareRequest, 'running' | 'unlocked'>,
    private readonly beat: Beat<CompareProgress>,
  ) {
    for (const object of wanted.objects.values()) {
      const ofKind = this.byKind.get(object.plural);
      if (ofKind) ofKind.push(object);
      else this.byKind.set(object.plural, [object]);
    }
  }

  async atKind(kind: CustomKind): Promise<KindFound> {
    const started = Date.now();
    const missing = new Map(this.byKind.get(kind.plural)?.map((object) => [keyOf(object), object]));
    const counts = { kind: kind.kind, wanted: missing.size, created: 0, equal: 0, replaced: 0, conflicting: 0 };
    const wrong = new Findings();
    const remarks = new Findings();
    let present = 0;
    for await (const live of presentObjects(this.api, kind, this.beat.signal)) {
      present += 1;
      const key = keyOf(live);
      const desired = missing.get(key);
      if (!desired) {
        if (this.before?.objects.has(key)) continue;
        const harmless = !isIpam(live) || (this.expecting.running && isStartUpObject(live));
        (harmless ? remarks : wrong).add(`${describeObject(live)}: not ours, and not there before the import`);
        continue;
      }
      missing.delete(key);
      const differing = differences(desired.body, live.body).filter(
        (line) => !(this.expecting.unlocked && isUnlock(live, line)),
      );
      const serious = this.expecting.running ? differing.filter((line) => !ownDoing(live, line)) : differing;
      if (serious.length === 0) counts.equal += 1;
      else counts.conflicting += 1;
      for (const line of differing) (serious.includes(line) ? wrong : remarks).add(`${describeObject(live)}: ${line}`);
      this.progress(kind.kind);
    }
    for (const object of missing.values()) wrong.add(`${describeObject(object)}: not there`);
    if (counts.wanted + present === 0) return { counts };
    return { counts, record: recordOf(kind.kind, started, counts.wanted, counts.equal, wrong, remarks) };
  }

  /** Annotations of Calico on the nodes that the file has. */
  async atNodes(): Promise<ValidationRecord[]> {
    const started = Date.now();
    const missing = new Map(this.wanted.nodes);
    const wrong = new Findings();
    const remarks = new Findings();
    let equal = 0;
    for await (const { name, annotations } of presentNodes(this.api, this.beat.signal)) {
      const desired = missing.get(name);
      if (!desired) continue;
      missing.delete(name);
      const differing = nodeDifferences(desired, annotations);
      if (differing.length === 0 || this.expecting.running) equal += 1;
      // A calico-node writes its own addresses as soon as it starts, locked or not.
      for (const line of differing) (this.expecting.running ? remarks : wrong).add(`Node ${name}: ${line}`);
      this.progress('Node');
    }
    for (const name of missing.keys()) {
      remarks.add(`Node ${name}: Kubernetes has no such node, so its annotations have nowhere to go`);
    }
    const found = this.wanted.nodes.size - missing.size;
    return this.wanted.nodes.size === 0 ? [] : [recordOf('Node annotations', started, found, equal, wrong, remarks)];
  }

  private progress(kind: string): void {
    this.compared += 1;
    this.beat.report({ kind, compared: this.compared, of: this.wanted.objects.size + this.wanted.nodes.size });
  }
}

/** Told again, since nothing of it can be compared. */
function inexpressible({ problems }: Wanted): ValidationRecord[] {
  if (problems.length === 0) return [];
  const remarks = new Findings();
  for (const { object, reason } of problems) remarks.add(`${object}: ${reason}`);
  return [
    {
      name: 'Not expressible in Kubernetes',
      source: String(problems.length),
      target: 'not imported',
      outcome: 'pass',
      durationMs: 0,
      differences: remarks.linesAndRest,
    },
  ];
}

function recordOf(
  name: string,
  started: number,
  wanted: number,
  equal: number,
  wrong: Findings,
  remarks: Findings,
): ValidationRecord {
  const differing = [...wrong.linesAndRest, ...(wrong.total === 0 ? remarks.linesAndRest : [])];
  return {
    name,
    source: String(wanted),
    target: `${equal} of ${wanted} equal`,
    outcome: wrong.total > 0 ? 'fail' : 'pass',
    durationMs: Date.now() - started,
    ...(differing.length > 0 && { differences: differing }),
  };
}
