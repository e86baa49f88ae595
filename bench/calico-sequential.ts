// What our import is measured against: one client of @kubernetes/client-node that creates one object after the other, as calicoctl does,
// with the token bucket of its Go client (so many requests a second, twice as many at once). One request for each object is less than
// calicoctl asks for.
import { setTimeout as sleep } from 'node:timers/promises';
import { CustomObjectsApi, KubeConfig } from '@kubernetes/client-node';
import { printJson } from '../activities/calico/json';
import type { DesiredObject } from '../activities/calico/model/desired';

/** @param perSecond Infinity: as fast as it goes. @returns how many were created */
export async function importSequentially(
  kubeconfig: string,
  objects: DesiredObject[],
  perSecond: number,
): Promise<number> {
  const config = new KubeConfig();
  config.loadFromString(kubeconfig);
  const api = config.makeApiClient(CustomObjectsApi);
  const bucket = new TokenBucket(perSecond);
  for (const { plural, namespace, body } of objects) {
    await bucket.take();
    // This client knows no 64-bit numbers: it writes rounded ones. That makes it neither faster nor slower.
    const rounded = JSON.parse(printJson(body)) as object;
    const where = { group: 'crd.projectcalico.org', version: 'v1', plural, body: rounded };
    await (namespace === undefined
      ? api.createClusterCustomObject(where)
      : api.createNamespacedCustomObject({ ...where, namespace }));
  }
  return objects.length;
}

class TokenBucket {
  private tokens: number;
  private at = performance.now();

  constructor(private readonly perSecond: number) {
    this.tokens = perSecond * 2;
  }

  async take(): Promise<void> {
    if (this.perSecond === Infinity) return;
    const now = performance.now();
    this.tokens = Math.min(this.perSecond * 2, this.tokens + ((now - this.at) / 1_000) * this.perSecond);
    this.at = now;
    this.tokens -= 1;
    if (this.tokens < 0) await sleep((-this.tokens / this.perSecond) * 1_000);
  }
}
