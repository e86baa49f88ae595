// What going back after the unlock would lose: everything that has changed on the Kubernetes side since the import. The whole of it is kept as
// an artifact, so that what is lost for the cluster is not lost for people.
import { Readable } from 'node:stream';
import type { ArtifactReference } from '../../artifacts/store';
import { withHeartbeat } from '../../heartbeat';
import { printJson, type JsonObject } from '../json';
import { differences, nodeDifferences } from '../model/compare';
import { describeObject } from '../model/desired';
import { crdKinds } from '../model/kinds';
import type { KubernetesApi } from './api';
import { isUnlock, isUntouchedStartUpObject, ownDoing } from './calicos-doing';
import type { CompareRequest } from './compare';
import type { KubernetesDependencies } from './dependencies';
import { readInventory, type Inventory } from './inventory';
import {
  isIpam,
  keyOf,
  presentNodes,
  presentObjects,
  type CustomKind,
  type Place,
  type PresentNode,
  type PresentObject,
} from './present';
import { readWanted, type Wanted } from './wanted';

export interface DivergenceRequest extends CompareRequest {
  /** Of the artifact. */
  name: string;
}

export interface Divergence {
  /** Objects and nodes added, changed or deleted. */
  changes: number;
  /** First how many of each kind, addresses foremost, then a line for each: twenty together. */
  detail: string[];
  /** The whole Kubernetes side as it is now: an object a line, as JSON, the nodes with Calico's annotations only. */
  artifact: ArtifactReference;
}

const listed = 20;

export function createDivergenceActivities({ kubernetes, artifacts }: KubernetesDependencies) {
  return {
    /**
     * Compares with what was imported, and beyond that with what was there before. What Calico writes by itself when it starts, and our own
     * unlock, are no changes. Changes nothing.
     * @throws TargetUnavailable (retryable), AuthDenied, ArtifactStoreUnavailable
     */
    measureDivergence: (request: DivergenceRequest): Promise<Divergence> =>
      withHeartbeat({ kind: '' }, async ({ signal, report }) => {
        const { scope, file, encoding, inventory, name } = request;
        const wanted = await readWanted(artifacts, file, encoding);
        const before = inventory && (await readInventory(artifacts, inventory));
        const api = await kubernetes.connect(scope.target);
        const changes = new Changes(wanted, before);
        async function* lookAtAll(): AsyncGenerator<string> {
          for (const kind of addressesFirst()) {
            report({ kind: kind.kind });
            for await (const object of lookAtKind(api, kind, changes, signal)) yield `${printJson(object)}\n`;
          }
          for await (const node of lookAtNodes(api, changes, signal)) yield `${printJson(node)}\n`;
        }
        const artifact = await artifacts.put(scope.migration, name, Readable.from(lookAtAll()));
        return { changes: changes.total, detail: changes.detail(), artifact };
      }),
  };
}

/** What a pod would lose counts most. */
function addressesFirst(): CustomKind[] {
  return [...crdKinds.filter(isIpam), ...crdKinds.filter((kind) => !isIpam(kind))];
}

async function* lookAtKind(
  api: KubernetesApi,
  kind: CustomKind,
  changes: Changes,
  signal: AbortSignal,
): AsyncGenerator<JsonObject> {
  const missing = changes.expected(kind);
  for await (const live of presentObjects(api, kind, signal)) {
    missing.delete(keyOf(live));
    changes.object(live);
    yield live.body;
  }
  for (const place of missing.values()) changes.note(place.kind, 'deleted', describeObject(place));
}

async function* lookAtNodes(api: KubernetesApi, changes: Changes, signal: AbortSignal): AsyncGenerator<JsonObject> {
  for await (const node of presentNodes(api, signal)) {
    changes.node(node);
    const { name, annotations } = node;
    yield { apiVersion: 'v1', kind: 'Node', metadata: { name, annotations } };
  }
}

type Change = 'added' | 'changed' | 'deleted';

class Changes {
  private readonly counts = new Map<string, Record<Change, number>>();
  private readonly lines: string[] = [];

  constructor(
    private readonly wanted: Wanted,
    private readonly before: Inventory | undefined,
  ) {}

  get total(): number {
    return [...this.counts.values()].reduce((sum, { added, changed, deleted }) => sum + added + changed + deleted, 0);
  }

  detail(): string[] {
    const sums = [...this.counts].map(([kind, counts]) => {
      const said = Object.entries(counts).filter(([, count]) => count > 0);
      return `${kind}: ${said.map(([change, count]) => `${count} ${change}`).join(', ')}`;
    });
    return [...sums, ...this.lines].slice(0, listed);
  }

  note(kind: string, change: Change, what: string): void {
    const counts = this.counts.get(kind) ?? { added: 0, changed: 0, deleted: 0 };
    counts[change] += 1;
    this.counts.set(kind, counts);
    if (this.lines.length < listed) this.lines.push(`${what}: ${change}`);
  }

  /** Places where something was, after the import. */
  expected(kind: CustomKind): Map<string, Place> {
    const places = new Map<string, Place>();
    for (const [key, object] of this.wanted.objects) if (object.plural === kind.plural) places.set(key, object);
    for (const key of this.before?.objects.keys() ?? []) {
      const [plural, ...rest] = key.split('/');
      const name = rest.at(-1);
      if (plural !== kind.plural || name === undefined) continue;
      const namespace = rest.length > 1 ? rest[0] : undefined;
      places.set(key, { ...kind, name, ...(namespace !== undefined && { namespace }) });
    }
    return places;
  }

  object(live: PresentObject): void {
    const key = keyOf(live);
    const after = this.wanted.objects.get(key)?.body ?? this.before?.objects.get(key);
    if (!after) {
      if (isUntouchedStartUpObject(live)) return;
      this.note(live.kind, 'added', describeObject(live));
      return;
    }
    const differing = differences(after, live.body).filter((line) => !ownDoing(live, line) && !isUnlock(live, line));
    if (differing.length > 0) this.note(live.kind, 'changed', `${describeObject(live)} (${shortened(differing)})`);
  }

  node({ name, annotations }: PresentNode): void {
    const desired = this.wanted.nodes.get(name);
    if (!desired) return;
    const differing = nodeDifferences(desired, annotations);
    if (differing.length > 0) this.note('Node annotations', 'changed', `Node ${name} (${shortened(differing)})`);
  }
}

function shortened([first = '', ...others]: string[]): string {
  const line = first.length > 120 ? `${first.slice(0, 120)}…` : first;
  return others.length > 0 ? `${line}, and ${others.length} more` : line;
}
