// The pair of datastores that the benchmark moves between, by our activities outside of Temporal; emptied between the rounds.
import { createReadStream } from 'node:fs';
import { Etcd3 } from 'etcd3';
import { createFileStore } from '../activities/artifacts/file-store';
import type { ArtifactReference } from '../activities/artifacts/store';
import { createCalicoActivities } from '../activities/calico';
import { EtcdConnections } from '../activities/calico/etcd';
import { KubernetesConnections } from '../activities/calico/kubernetes';
import { desiredState, type DesiredObject } from '../activities/calico/model/desired';
import { readExportFile } from '../activities/calico/model/export-file';
import type { CalicoScope, Encoding } from '../activities/calico/scope';
import { Cluster } from '../examples/calico/cluster';
import { calicoPlurals } from '../examples/calico/crds';
import { exampleManifests } from '../examples/calico/manifests';
import { sampleNamespaces, writeSampleDatastore, type SampleOptions } from '../examples/calico/sample-datastore';
import { seedCluster } from '../examples/calico/seed-cluster';

interface BenchPair {
  endpoint: string;
  kubeconfig: string;
  /** URL of a folder. */
  artifacts: string;
  writers: number;
}

const group = '/apis/crd.projectcalico.org/v1';
const encoding: Encoding = { policyNaming: 'prefixed', affinityLabels: false };

export class BenchCluster {
  readonly kubeconfig: string;
  private readonly activities: ReturnType<typeof createCalicoActivities>;
  private readonly artifacts;
  private readonly scope: CalicoScope;
  private readonly cluster: Cluster;
  private readonly etcd: Etcd3;
  private readonly writers: number;
  private file?: ArtifactReference;
  private inventory?: ArtifactReference;
  private objects: DesiredObject[] = [];

  constructor({ endpoint, kubeconfig, artifacts, writers }: BenchPair) {
    const environment = { KUBECONFIG_TEXT: kubeconfig };
    this.kubeconfig = kubeconfig;
    this.writers = writers;
    this.artifacts = createFileStore(artifacts);
    this.activities = createCalicoActivities({
      environment,
      artifacts: this.artifacts,
      etcd: new EtcdConnections(environment),
      kubernetes: new KubernetesConnections(environment),
    });
    this.scope = {
      migration: 'bench',
      source: { endpoints: [endpoint], prefix: '/calico' },
      target: { kubeconfig: { env: 'KUBECONFIG_TEXT' } },
    };
    this.cluster = new Cluster(kubeconfig, 32);
    this.etcd = new Etcd3({ hosts: endpoint });
  }

  async seed(options: SampleOptions): Promise<void> {
    await seedCluster(this.cluster, await writeSampleDatastore(this.etcd, options));
    const { scope } = this;
    const manifest = await this.artifacts.put(
      scope.migration,
      'calico.yaml',
      createReadStream(exampleManifests.kubernetes),
    );
    await this.activities.ensureCrds({ scope, manifest });
    ({ file: this.file } = await this.export());
    this.objects = desiredState(readExportFile(await this.artifacts.read(this.file)), encoding).objects.filter(
      ({ kind }) => kind !== 'ClusterInformation',
    );
    ({ inventory: this.inventory } = await this.activities.inspectKubernetes({ scope }));
  }

  /** What has to be written after the lock: everything but the cluster information. */
  wanted(): DesiredObject[] {
    return this.objects;
  }

  /** Removes every object, and makes the lock that an import expects. */
  async empty(): Promise<void> {
    for (const { plural, namespaced } of calicoPlurals()) {
      const namespaces = namespaced ? sampleNamespaces.map((name) => `/namespaces/${name}`) : [''];
      for (const namespace of namespaces) await this.cluster.change('DELETE', `${group}${namespace}/${plural}`);
    }
    await this.activities.lockKubernetes({ scope: this.scope, file: this.file });
  }

  /** Our import, with its look at everything before the first write. @returns how many objects were created */
  async import(): Promise<number> {
    const { scope, writers } = this;
    const { file, inventory } = this.known();
    const done = await this.activities.importCalico({
      ...{ scope, file, inventory, encoding, writers },
      existing: 'stop',
      maxWritesPerSecond: 0,
    });
    return done.kinds.reduce((sum, { created }) => sum + created, 0);
  }

  /** @throws Error when the cluster does not hold exactly so many objects beside the cluster information */
  async requireAll(objects: number): Promise<void> {
    let found = 0;
    for (const { plural } of calicoPlurals())
      if (plural !== 'clusterinformations') found += (await this.cluster.list(`${group}/${plural}`))?.length ?? 0;
    if (found !== objects || found !== this.objects.length)
      throw new Error(
        `${found} objects are on the cluster, ${objects} were said to be written, ${this.objects.length} wanted`,
      );
  }

  /** What a migration does while both sides are locked, in its order. @returns seconds of each part */
  async lockedWindow(): Promise<Record<string, number>> {
    await this.empty();
    const { activities, scope } = this;
    const parts: Record<string, number> = {};
    const timed = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
      const from = performance.now();
      const result = await work();
      parts[name] = (performance.now() - from) / 1_000;
      return result;
    };
    await timed('lock', () => activities.lockEtcd({ scope }));
    const { file } = await timed('read and export', () => this.export());
    await timed('inventory', () => activities.inspectKubernetes({ scope }));
    await timed('import', () => this.import());
    await timed('nodes', () => activities.annotateNodes({ scope, file, encoding }));
    await timed('comparison', () => activities.compareImported({ scope, file, encoding }));
    await timed('unlock', () => activities.unlockKubernetes({ scope }));
    return parts;
  }

  close(): void {
    this.etcd.close();
    this.cluster.close();
  }

  private async export() {
    const { activities, scope } = this;
    const { artifact: snapshot, revision } = await activities.takeEtcdSnapshot({ scope, name: 'etcd.jsonl' });
    return activities.exportCalico({ scope, snapshot, revision });
  }

  private known(): { file: ArtifactReference; inventory: ArtifactReference } {
    const { file, inventory } = this;
    if (!file || !inventory) throw new Error('The benchmark has not been seeded.');
    return { file, inventory };
  }
}
