// Takes the import back: what it created goes, what it replaced returns, what a Calico has made by itself when it started on the target goes
// with it, and nothing else is touched. Decided anew from what is there and what was there before: it may be broken off anywhere and run again.
import type { ArtifactReference } from '../../artifacts/store';
import { withHeartbeat, type Beat } from '../../heartbeat';
import { equalJson, type JsonObject } from '../json';
import { differences } from '../model/compare';
import { describeObject } from '../model/desired';
import { crdKinds } from '../model/kinds';
import type { CalicoScope, Encoding } from '../scope';
import { isAbsent, isConflict } from './answers';
import type { KubernetesApi } from './api';
import { isUntouchedStartUpObject, ownDoing } from './calicos-doing';
import type { KubernetesDependencies } from './dependencies';
import { Findings } from './findings';
import { readInventory, type Inventory } from './inventory';
import { inLanes } from './lanes';
import { calicoGroup, collectionPath, resourcePath } from './paths';
import {
  clusterInformation,
  keyOf,
  metadataOf,
  presentObjects,
  type CustomKind,
  type Place,
  type PresentObject,
} from './present';
import { readWanted, type Wanted } from './wanted';

export interface RemoveRequest {
  scope: CalicoScope;
  /** The export file. */
  file: ArtifactReference;
  /** What was there before us. */
  inventory: ArtifactReference;
  encoding: Encoding;
  /** Late rollback: what appeared since the import goes as well. */
  alsoNew?: boolean;
}

export interface Removal {
  removed: number;
  restored: number;
  /** Objects of Calico kinds that are neither ours nor were there before, and stay: the first twenty. */
  left: string[];
  leftTotal: number;
  /** Removed or put back although somebody had changed them since the import: the first twenty. */
  changedSince: string[];
  changedSinceTotal: number;
}

export interface RemoveProgress {
  kind: string;
  removed: number;
  restored: number;
}

/** The apiserver's own limits hold for deletions too; more would only queue there. */
const lanes = 16;
/** Somebody who writes to the same object at the same time is given way this often. */
const attempts = 5;

export function createRemoveActivities({ kubernetes, artifacts }: KubernetesDependencies) {
  return {
    /**
     * The cluster information goes, or is put back, last: until then the target stays locked.
     * @throws TargetUnavailable (retryable), AuthDenied, PreconditionFailed
     */
    removeImported: (request: RemoveRequest): Promise<Removal> =>
      withHeartbeat<RemoveProgress, Removal>({ kind: 'export file', removed: 0, restored: 0 }, async (beat) => {
        const wanted = await readWanted(artifacts, request.file, request.encoding);
        const before = await readInventory(artifacts, request.inventory);
        const api = await kubernetes.connect(request.scope.target);
        const way = new WayBack(api, wanted, before, request.alsoNew ?? false, beat);
        for (const kind of kindsFromLast(wanted)) await way.takeBack(kind);
        return way.result();
      }),
  };
}

/** What depends on others first, the lock last. */
function kindsFromLast({ objects }: Wanted): CustomKind[] {
  const stages = new Map<string, number>();
  for (const { plural, stage } of objects.values()) stages.set(plural, Math.max(stage, stages.get(plural) ?? 0));
  const rank = ({ plural }: CustomKind): number =>
    plural === clusterInformation ? -1 : (stages.get(plural) ?? Number.MAX_SAFE_INTEGER);
  return [...crdKinds].sort((left, right) => rank(right) - rank(left));
}

class WayBack {
  private removed = 0;
  private restored = 0;
  private readonly left = new Findings();
  private readonly changedSince = new Findings();

  constructor(
    private readonly api: KubernetesApi,
    private readonly wanted: Wanted,
    private readonly before: Inventory,
    private readonly alsoNew: boolean,
    private readonly beat: Beat<RemoveProgress>,
  ) {}

  result(): Removal {
    const { removed, restored, left, changedSince } = this;
    return {
      removed,
      restored,
      left: left.lines,
      leftTotal: left.total,
      changedSince: changedSince.lines,
      changedSinceTotal: changedSince.total,
    };
  }

  async takeBack(kind: CustomKind): Promise<void> {
    const returning = this.replacedOf(kind);
    const present = presentObjects(this.api, kind, this.beat.signal);
    await inLanes(present, lanes, async (live) => {
      returning.delete(keyOf(live));
      await this.settle(live);
      this.progress(kind);
    });
    // Replaced by us, and removed by somebody since.
    await inLanes([...returning.values()], lanes, async (former) => {
      await this.settleAbsent(former);
      this.progress(kind);
    });
  }

  /** Objects that were there before and that the import has put another content into. */
  private replacedOf({ plural }: CustomKind): Map<string, PresentObject> {
    const replaced = new Map<string, PresentObject>();
    for (const [key, desired] of this.wanted.objects) {
      if (desired.plural !== plural) continue;
      const former = this.before.objects.get(key);
      if (former && differences(desired.body, former).length > 0) replaced.set(key, { ...desired, body: former });
    }
    return replaced;
  }

  private async settle(first: PresentObject): Promise<void> {
    this.beat.signal.throwIfAborted();
    const key = keyOf(first);
    const former = this.before.objects.get(key);
    const desired = this.wanted.objects.get(key);
    if (!desired) {
      if (former) return;
      if (!this.alsoNew && !isUntouchedStartUpObject(first)) {
        this.left.add(describeObject(first));
        return;
      }
    }
    if (former && desired && differences(desired.body, former).length === 0) return;
    for (let attempt = 1, live: PresentObject | undefined = first; live; attempt += 1) {
      if (former && sameContent(former, live.body)) return;
      try {
        await (former ? this.putBack(live, former) : this.remove(live));
      } catch (error) {
        if (attempt === attempts || !(isConflict(error) || isAbsent(error))) throw error;
        live = await this.lookAgain(live);
        continue;
      }
      if (desired && isChanged(live, desired.body)) this.changedSince.add(describeObject(live));
      return;
    }
    if (former) await this.settleAbsent({ ...first, body: former });
  }

  private async settleAbsent(former: PresentObject): Promise<void> {
    const { kind, plural, namespace } = former;
    const content = { apiVersion: `${calicoGroup}/v1`, kind, ...contentOf(former.body) };
    const made = await this.api.create(collectionPath(plural, namespace), content);
    if (made === 'created') {
      this.restored += 1;
      this.changedSince.add(`${describeObject(former)} (had been removed)`);
      return;
    }
    const live = await this.lookAgain(former);
    if (live) await this.settle(live);
  }

  private async remove(live: PresentObject): Promise<void> {
    const { uid } = metadataOf(live.body);
    const done = await this.api.remove(resourcePath(live), typeof uid === 'string' ? { uid } : {});
    if (done === 'removed') this.removed += 1;
  }

  private async putBack(live: PresentObject, former: JsonObject): Promise<void> {
    const content = contentOf(former);
    const { resourceVersion } = metadataOf(live.body);
    await this.api.replace(resourcePath(live), {
      apiVersion: `${calicoGroup}/v1`,
      kind: live.kind,
      ...content,
      metadata: { ...metadataOf(content), resourceVersion },
    });
    this.restored += 1;
  }

  private async lookAgain(place: Place): Promise<PresentObject | undefined> {
    const { kind, plural, namespace, name } = place;
    const body = await this.api.get(resourcePath(place));
    return body && { kind, plural, name, body, ...(namespace !== undefined && { namespace }) };
  }

  private progress({ kind }: CustomKind): void {
    this.beat.report({ kind, removed: this.removed, restored: this.restored });
  }
}

/** By somebody else than us and Calico's own start; our own unlock of the cluster information is none. */
function isChanged(live: PresentObject, desired: JsonObject): boolean {
  return differences(desired, live.body).some(
    (line) => !ownDoing(live, line) && !(live.plural === clusterInformation && line.startsWith('spec.datastoreReady')),
  );
}

/** Whole, with labels and annotations of others; the status belongs to whoever runs the kind. */
function sameContent(former: JsonObject, live: JsonObject): boolean {
  const whole = (object: JsonObject): JsonObject => ({ spec: object.spec, metadata: contentOf(object).metadata });
  return equalJson(whole(former), whole(live));
}

/** What the server has added is the server's: the object gets it anew. */
function contentOf(object: JsonObject): JsonObject {
  const { name, namespace, labels, annotations, finalizers, ownerReferences } = metadataOf(object);
  const { status, ...content } = object;
  return {
    ...content,
    metadata: { name, namespace, labels, annotations, finalizers, ownerReferences },
    ...(status !== undefined && { status }),
  };
}
