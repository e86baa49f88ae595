// What the phases of one Calico migration share: the plan, the runbook, and what earlier phases found.
import type { ArtifactReference } from '../../../activities/artifacts/store';
import type { EtcdSnapshot, LockState } from '../../../activities/calico/etcd';
import type { CalicoFacts } from '../../../activities/calico/preflight';
import type { CalicoScope, Encoding } from '../../../activities/calico/scope';
import type { ManifestPair } from '../../../activities/calico/switch';
import type { CalicoAccounting } from '../../../journal/types';
import type { CalicoPlan } from '../../../plan/calico';
import { needed, type Migration } from '../migration';

export interface CalicoMigration extends Migration {
  plan: CalicoPlan;
  scope: CalicoScope;
  /** As they were when the migration began; undefined where people apply them. */
  manifests?: ManifestPair;
  facts?: CalicoFacts;
  /** Of etcd, before we locked it. */
  lockBefore?: LockState;
  /** Everything in etcd at the one revision that is migrated. */
  pinned?: EtcdSnapshot;
  /** Of the export, before it was known which nodes Kubernetes has. */
  accounting?: CalicoAccounting;
  /** The export file. */
  file?: ArtifactReference;
  /** Calico's things on the cluster before we touched it. */
  inventory?: ArtifactReference;
  /** Those of the manifest that the cluster did not have: ours to remove. */
  crds: string[];
  /** The objects of both manifests as they were before the switch. */
  former?: ArtifactReference;
}

/** What every activity that reads or takes back the import is told. */
export function imported({ scope, file, facts, inventory }: CalicoMigration): {
  scope: CalicoScope;
  file: ArtifactReference;
  encoding: Encoding;
  inventory: ArtifactReference;
} {
  return {
    scope,
    file: needed(file, 'export file'),
    encoding: needed(facts, 'facts').encoding,
    inventory: needed(inventory, 'inventory'),
  };
}

/** Keeps references for the report; a file that was made again takes the place of the one of its name. */
export function keep({ runbook: { journal } }: CalicoMigration, ...artifacts: ArtifactReference[]): void {
  const names = new Set(artifacts.map(({ name }) => name));
  journal.artifacts = [...journal.artifacts.filter(({ name }) => !names.has(name)), ...artifacts];
}
