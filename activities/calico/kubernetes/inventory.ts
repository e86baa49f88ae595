// What the cluster has of Calico before we touch it, kept whole as an artifact: what the way back puts back, and what it leaves alone.
import type { ArtifactReference, ArtifactStore } from '../../artifacts/store';
import type { JsonObject } from '../json';
import type { CalicoScope } from '../scope';
import type { KubernetesDependencies } from './dependencies';

export interface Inventory {
  /** Names of the CRDs of crd.projectcalico.org. */
  crds: string[];
  /** Whole objects, by `inventoryKey`. */
  objects: Map<string, JsonObject>;
  /** Of every node: its annotations of Calico, none of others. */
  nodes: Map<string, Record<string, string>>;
}

export interface InventoryResult {
  inventory: ArtifactReference;
  objects: number;
  crds: string[];
  nodes: number;
}

/** "ippools/default", "networkpolicies/shop/web" */
export function inventoryKey(plural: string, namespace: string | undefined, name: string): string {
  return namespace === undefined ? `${plural}/${name}` : `${plural}/${namespace}/${name}`;
}

/** @throws VerificationMismatch, ArtifactStoreUnavailable */
export function readInventory(_artifacts: ArtifactStore, _reference: ArtifactReference): Promise<Inventory> {
  return Promise.reject(new Error('not yet'));
}

export function createInventoryActivities(_dependencies: KubernetesDependencies) {
  return {
    inspectKubernetes: (_request: { scope: CalicoScope }): Promise<InventoryResult> =>
      Promise.reject(new Error('not yet')),
  };
}
