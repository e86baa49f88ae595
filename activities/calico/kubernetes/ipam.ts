// Whether the address management on the target agrees with itself: allocations with handles, handles with blocks, affinities with blocks.
// What was broken on the source already is told, but is nothing that the import did.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ValidationRecord } from '../../../journal/types';
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';
import { withHeartbeat } from '../../heartbeat';
import { readEntries } from '../etcd/snapshot-file';
import { isObject, type JsonObject } from '../json';
import { checkIpam, ipamSpecs, type IpamFinding, type IpamRule, type IpamSpecs } from '../model/ipam-check';
import { ipamKinds } from '../model/kinds';
import type { CalicoScope } from '../scope';
import type { KubernetesDependencies } from './dependencies';
import type { KubernetesApi } from './api';
import { Findings } from './findings';
import { presentObjects } from './present';
import { readFile } from './wanted';

export interface IpamRequest {
  scope: CalicoScope;
  /** The pinned snapshot of etcd, where there is one: tells what the export refused from what etcd did not have. */
  snapshot?: ArtifactReference;
  /** The export file. */
  file: ArtifactReference;
}

const titles: Record<IpamRule, string> = {
  'allocation-without-handle': 'every allocation has its handle',
  'handle-without-block': 'every handle has its blocks',
  'count-disagrees': 'handles and blocks count the same',
  'affinity-without-block': 'every affinity has its block',
  'block-affinity-disagrees': 'blocks and affinities name the same node',
  'allocation-without-attribute': 'every allocation has its attributes',
  'free-list-disagrees': 'what is free is not allocated',
};

/**
 * Calico writes handle and block one after the other, and the three kinds are read one after the other: on a datastore that is in use, only
 * what is still wrong at the next looks is wrong.
 */
const looks = 3;
const betweenLooksMs = 1_000;

export function createIpamActivities({ kubernetes, artifacts }: KubernetesDependencies) {
  return {
    /**
     * A record for each invariant. A finding that the source has as well is a remark; a new one fails. Changes nothing.
     * @throws TargetUnavailable (retryable), AuthDenied, PreconditionFailed
     */
    checkIpam: ({ scope, snapshot, file }: IpamRequest): Promise<ValidationRecord[]> =>
      withHeartbeat('reading IPAM', async ({ signal }) => {
        const started = Date.now();
        const source = ipamSpecs(await readFile(artifacts, file));
        const known = new Set(findingsOf(source).map(identityOf));
        const refused = known.size > 0 && snapshot ? await handlesNotExported(artifacts, snapshot, scope, source) : [];
        const api = await kubernetes.connect(scope.target);
        let present = await presentSpecs(api, signal);
        let found = findingsOf(present);
        for (let look = 1; look < looks && found.some((finding) => !known.has(identityOf(finding))); look += 1) {
          await sleep(betweenLooksMs, undefined, { signal });
          present = await presentSpecs(api, signal);
          const still = new Set(findingsOf(present).map(identityOf));
          found = found.filter((finding) => still.has(identityOf(finding)));
        }
        const durationMs = Date.now() - started;
        return (Object.keys(titles) as IpamRule[]).map((rule) =>
          recordOf(
            rule,
            found.filter((finding) => finding.rule === rule),
            { known, refused, durationMs, checked: present.blocks.length },
          ),
        );
      }),
  };
}

interface Known {
  /** Identities of what the source has as well. */
  known: Set<string>;
  /** Handles that etcd has and the file has not. */
  refused: string[];
  checked: number;
  durationMs: number;
}

function recordOf(
  rule: IpamRule,
  found: IpamFinding[],
  { known, refused, checked, durationMs }: Known,
): ValidationRecord {
  const broken = new Findings();
  const remarks = new Findings();
  for (const finding of found) {
    const line = `${finding.object}: ${finding.detail}`;
    if (!known.has(identityOf(finding))) broken.add(line);
    else if (refused.some((id) => line.includes(id))) remarks.add(`${line} (the export could not carry it)`);
    else remarks.add(`${line} (broken on the source already)`);
  }
  const lines = broken.total > 0 ? broken.linesAndRest : remarks.linesAndRest;
  return {
    name: `IPAM: ${titles[rule]}`,
    source: remarks.total === 0 ? 'holds' : `${remarks.total} exceptions`,
    target: found.length === 0 ? `holds in ${checked} blocks` : `${found.length} exceptions`,
    outcome: broken.total > 0 ? 'fail' : 'pass',
    durationMs,
    ...(lines.length > 0 && { differences: lines }),
  };
}

function findingsOf({ blocks, affinities, handles }: IpamSpecs): IpamFinding[] {
  return checkIpam(blocks, affinities, handles).findings;
}

function identityOf({ rule, object, detail }: IpamFinding): string {
  return `${rule} ${object} ${detail}`;
}

async function presentSpecs(api: KubernetesApi, signal: AbortSignal): Promise<IpamSpecs> {
  const specs = async (kind: { kind: string; plural: string }): Promise<JsonObject[]> => {
    const found: JsonObject[] = [];
    for await (const { body } of presentObjects(api, { ...kind, namespaced: false }, signal)) {
      if (isObject(body.spec)) found.push(body.spec);
    }
    return found;
  };
  return {
    blocks: await specs(ipamKinds.block),
    affinities: await specs(ipamKinds.affinity),
    handles: await specs(ipamKinds.handle),
  };
}

/** Handles in etcd that no custom resource can be named after; whatever follows "/handle/" is theirs, also what Calico's own listing overlooks. */
async function handlesNotExported(
  artifacts: ArtifactStore,
  snapshot: ArtifactReference,
  { source: { prefix } }: CalicoScope,
  { handles }: IpamSpecs,
): Promise<string[]> {
  const exported = new Set(handles.map(({ handleID }) => handleID));
  const below = `${prefix}/ipam/v2/handle/`;
  const missing: string[] = [];
  for await (const { key } of readEntries(await artifacts.fetch(snapshot))) {
    if (key.startsWith(below) && !exported.has(key.slice(below.length))) missing.push(key.slice(below.length));
  }
  return missing;
}
