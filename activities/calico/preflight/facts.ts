// What preflight knows afterwards, for the decision record and the people at the first gate.
import { countRefused } from '../model/disposition';
import type { CheckContext } from './context';
import type { CalicoFacts } from './types';

/** Far below what an apiserver takes: the estimate should be kept. */
const cautiousWritesPerSecond = 200;

export async function factsOf(context: CheckContext): Promise<CalicoFacts> {
  const { encoding, targetVersion } = context.encoding();
  const { maxWritesPerSecond: limit } = context.input.plan;
  const rate = limit > 0 ? Math.min(limit, cautiousWritesPerSecond) : cautiousWritesPerSecond;
  const read = context.reachable('source') ? context.read() : undefined;
  const { objects, nodes } = read ? await context.desired() : { objects: [], nodes: [] };
  return {
    ...(read?.calicoVersion !== undefined && { calicoVersion: read.calicoVersion }),
    ...(targetVersion !== undefined && { targetVersion }),
    encoding,
    keys: read?.keys ?? 0,
    objects: objects.length,
    nodes: nodes.length,
    refused: read ? countRefused(read.exported.dispositions) : {},
    etcdVersion: read?.version ?? '',
    kubernetesVersion: context.kubernetesVersion,
    estimatedImportMs: Math.round(((objects.length + nodes.length) * 1_000) / rate),
  };
}
