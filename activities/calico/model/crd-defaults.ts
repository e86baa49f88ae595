// What the CRDs of Calico fill in by themselves where an object says nothing (3.30 to 3.32): no difference when it is read back.
import type { Json } from '../json';

const defaults: Record<string, Record<string, Json>> = {
  BGPConfiguration: {
    'spec.logSeverityScreen': 'Info',
    'spec.serviceLoadBalancerAggregation': 'Enabled',
    'spec.nodeMeshPassword.secretKeyRef.name': '',
  },
  BGPPeer: { 'spec.password.secretKeyRef.name': '' },
};

/** The default of a member; undefined where the CRD has none. @param path "spec.logSeverityScreen" */
export function crdDefault(kind: string, path: string): Json | undefined {
  return defaults[kind]?.[path];
}
