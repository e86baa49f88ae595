// Connections to the cluster of a plan: kubeconfig by reference or the pod's own service account, resolved when they are needed.
import { describeTarget, type CalicoTarget } from '../../../plan/calico';
import type { KubernetesApi } from './api';
import { accessOf, loadKubeConfig } from './credentials';
import { HttpsKubernetesApi } from './https-api';

export { isAbsent, isConflict, isRefusedContent } from './answers';
export type { ApplyOptions, KubernetesApi, ListOptions, PatchType, RemoveOptions } from './api';

export class KubernetesConnections {
  constructor(private readonly environment: NodeJS.ProcessEnv = process.env) {}

  /**
   * For one piece of work; its connections close by themselves. Nothing is asked of the cluster yet.
   * @throws PreconditionFailed for a kubeconfig that cannot be used
   */
  async connect(target: CalicoTarget): Promise<KubernetesApi> {
    const where = describeTarget(target);
    let config = await loadKubeConfig(target, this.environment);
    const access = await accessOf(config, where);
    return new HttpsKubernetesApi(access.url.href.replace(/\/$/, ''), access, async (anew) => {
      if (anew) config = await loadKubeConfig(target, this.environment);
      return accessOf(config, where);
    });
  }
}
