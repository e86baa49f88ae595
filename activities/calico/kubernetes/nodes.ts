// What Calico knows of a node is kept in annotations of the Kubernetes node. They are written through `nodes/status`, as Calico itself does, and
// put back exactly; annotations of others are never touched.
import type { ArtifactReference } from '../../artifacts/store';
import type { CalicoScope, Encoding } from '../scope';
import type { KubernetesDependencies } from './dependencies';

export interface AnnotateNodesRequest {
  scope: CalicoScope;
  /** The export file. */
  file: ArtifactReference;
  encoding: Encoding;
}

export interface AnnotatedNodes {
  /** In the file. */
  nodes: number;
  changed: number;
  /** Kubernetes does not know them. */
  missing: string[];
}

export interface RestoreNodesRequest {
  scope: CalicoScope;
  /** What was there before us. */
  inventory: ArtifactReference;
}

export function createNodeActivities(_dependencies: KubernetesDependencies) {
  return {
    annotateNodes: (_request: AnnotateNodesRequest): Promise<AnnotatedNodes> => Promise.reject(new Error('not yet')),
    restoreNodeAnnotations: (_request: RestoreNodesRequest): Promise<{ restored: number }> =>
      Promise.reject(new Error('not yet')),
  };
}
