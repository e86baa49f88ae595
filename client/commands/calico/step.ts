// What the single steps of a Calico migration share: how they are called, what etcd holds now, and how names are written on the target.
import type { Command } from 'commander';
import type { ArtifactReference } from '../../../activities/artifacts/store';
import type { EtcdSnapshot } from '../../../activities/calico/etcd';
import { isObject } from '../../../activities/calico/json';
import { readFile } from '../../../activities/calico/kubernetes/wanted';
import { decideEncoding } from '../../../activities/calico/preflight/encoding-choice';
import type { Encoding } from '../../../activities/calico/scope';
import type { CalicoSteps } from '../../calico-steps';

export interface Options {
  json?: boolean;
}

/** A sub-command that takes a plan. */
export function step(calico: Command, name: string, description: string): Command {
  return calico
    .command(name)
    .description(description)
    .argument('<plan>', 'Calico plan in JSON or YAML: says where both datastores are')
    .option('--json', 'print JSON');
}

export interface ExportedNow {
  file: ArtifactReference;
  snapshot: EtcdSnapshot;
  revision: string;
  objects: number;
  calicoVersion?: string;
  accounting: Awaited<ReturnType<CalicoSteps['activities']['exportCalico']>>['accounting'];
}

/** Everything in etcd at one revision, as an export file. */
export async function exportNow({ activities, scope }: CalicoSteps): Promise<ExportedNow> {
  const snapshot = await activities.takeEtcdSnapshot({ scope, name: 'etcd.jsonl' });
  const { revision } = snapshot;
  const exported = await activities.exportCalico({ scope, snapshot: snapshot.artifact, revision });
  return { ...exported, snapshot, revision };
}

/** By the plan, then by the images of its manifest, then by the version in the file. */
export async function encodingOf(
  { plan, artifacts, activities, scope }: CalicoSteps,
  file: ArtifactReference,
): Promise<Encoding> {
  const { manifests } = plan;
  const manifest = manifests && (await activities.readManifests({ scope, manifests })).kubernetes;
  const spec = (await readFile(artifacts, file)).clusterInformation?.spec;
  const version = isObject(spec) && typeof spec.calicoVersion === 'string' ? spec.calicoVersion : undefined;
  return decideEncoding(plan, manifest?.calicoVersion, version).encoding;
}
