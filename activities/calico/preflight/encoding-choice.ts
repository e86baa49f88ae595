// How objects will be written: decided by the Calico that will read them. Calico 3.31 gave block affinities labels, 3.32 took the prefix from
// policies of the default tier; what is written in the other way would be listed and not found.
import type { CalicoPlan } from '../../../plan/calico';
import type { Encoding } from '../scope';

export interface DecidedEncoding {
  encoding: Encoding;
  /** Of the Calico that will read the target; undefined when nothing tells. */
  targetVersion?: string;
  /** Where the version is from: "the plan". */
  by?: string;
}

/** The plan's word counts before the manifest's, and that before the source's. Pure. */
export function decideEncoding(
  plan: Pick<CalicoPlan, 'calicoVersion' | 'policyNaming'>,
  manifestVersion: string | undefined,
  sourceVersion: string | undefined,
): DecidedEncoding {
  const candidates: [string | undefined, string][] = [
    [plan.calicoVersion, 'the plan'],
    [manifestVersion, 'the image of calico-node in the manifest'],
    [sourceVersion, 'the ClusterInformation of the source'],
  ];
  const [targetVersion, by] = candidates.find(([version]) => minorOf(version) !== undefined) ?? [];
  const minor = minorOf(targetVersion);
  const { policyNaming } = plan;
  const bare = policyNaming === 'auto' ? minor !== undefined && minor >= 32 : policyNaming === 'bare';
  return {
    encoding: {
      policyNaming: bare ? 'bare' : 'prefixed',
      affinityLabels: minor === undefined ? bare : minor >= 31,
    },
    ...(targetVersion !== undefined && { targetVersion, by }),
  };
}

/** 30 of "v3.30.3"; undefined for what is no version of Calico 3. */
export function minorOf(version: string | undefined): number | undefined {
  const minor = /^v?3\.(\d+)/.exec(version ?? '')?.[1];
  return minor === undefined ? undefined : Number(minor);
}
