// What the Kubernetes datastore has to hold for this data: complete custom resources in the order of their dependencies, and annotations of nodes.
import type { JsonObject } from '../json';
import type { Encoding } from '../scope';
import type { CalicoData } from './calico-data';
import type { RefusalCategory } from './disposition';

export interface DesiredObject {
  /** Objects of a stage need only what lower stages have; inside a stage the order is free. */
  stage: number;
  plural: string;
  kind: string;
  namespace?: string;
  name: string;
  /** Complete: apiVersion "crd.projectcalico.org/v1", kind, metadata, spec. */
  body: JsonObject;
}

export interface DesiredNode {
  name: string;
  /** Every annotation that Calico has on a node; null: to be removed. */
  annotations: Record<string, string | null>;
}

export interface DesiredProblem {
  /** "IPAMHandle A_b" */
  object: string;
  reason: string;
  category: RefusalCategory;
}

export interface DesiredState {
  /** In dependency order; the first is the cluster information, locked. */
  objects: DesiredObject[];
  nodes: DesiredNode[];
  /** What cannot be expressed, or would overwrite something else: not among the objects. */
  problems: DesiredProblem[];
}

export function desiredState(_data: CalicoData, _encoding: Encoding): DesiredState {
  throw new Error('not yet');
}
