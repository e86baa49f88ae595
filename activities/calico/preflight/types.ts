// What the preflight of a Calico migration is asked and what it answers.
import type { Check } from '../../../journal/types';
import type { CalicoPlan } from '../../../plan/calico';
import type { CalicoScope, Encoding } from '../scope';
import type { ManifestPair } from '../switch/types';

export interface CalicoPreflightInput {
  scope: CalicoScope;
  plan: CalicoPlan;
  /** As `readManifests` fixed them; absent where people apply the manifests. */
  manifests?: ManifestPair;
}

export interface CalicoFacts {
  /** Of the source, as its ClusterInformation says. */
  calicoVersion?: string;
  /** That will read the target: plan, manifest, source, in this order. */
  targetVersion?: string;
  encoding: Encoding;
  /** Below the prefix. */
  keys: number;
  /** That the import will write, Nodes not counted. */
  objects: number;
  /** Whose annotations will be written. */
  nodes: number;
  /** Keys that the target cannot hold: RefusalCategory -> how many. */
  refused: Record<string, number>;
  /** Empty when the server could not be asked. */
  etcdVersion: string;
  kubernetesVersion: string;
  /** Cautious: at most 200 objects a second, or the plan's limit. */
  estimatedImportMs: number;
}

export interface CalicoPreflightResult {
  checks: Check[];
  facts: CalicoFacts;
}
