// What the checks look with: the source read and translated once at one revision, and a connection to the cluster with facts read once.
// A side that cannot be reached says why.
import type { Check } from '../../../journal/types';
import type { ContextCheck } from '../../preflight/check';
import type { CalicoDependencies } from '../dependencies';
import { isObject, type JsonObject } from '../json';
import type { KubernetesApi, ListOptions } from '../kubernetes/connection';
import { desiredState, type DesiredState } from '../model/desired';
import type { ManifestObject } from '../switch/manifest';
import { appliedObjects } from '../switch/without-secrets';
import { member } from '../switch/workload';
import { decideEncoding, type DecidedEncoding } from './encoding-choice';
import { readSource, type SourceRead } from './source-read';
import type { CalicoPreflightInput } from './types';

export type CalicoCheck = ContextCheck<CheckContext>;
export type CheckedSide = Extract<Check['side'], 'source' | 'target'>;

export class CheckContext {
  private source?: SourceRead;
  private api?: KubernetesApi;
  private version = '';
  private readonly errors = new Map<CheckedSide, unknown>();
  private readonly known = new Map<string, Promise<unknown>>();

  constructor(
    readonly input: CalicoPreflightInput,
    readonly dependencies: CalicoDependencies,
    readonly signal: AbortSignal,
    private readonly progress: (what: string) => void,
  ) {}

  /** Reads all of the source, and asks the cluster for its version; a failure is kept for the checks to tell. */
  async connect(): Promise<void> {
    const { source, target } = this.input.scope;
    await this.keepError('source', async () => {
      this.progress('reading etcd');
      this.source = await this.dependencies.etcd.with(source, (etcd) => readSource(etcd, source.prefix, this.signal));
    });
    await this.keepError('target', async () => {
      this.progress('asking the cluster');
      const api = await this.dependencies.kubernetes.connect(target);
      const { gitVersion } = (await api.get('/version')) ?? {};
      this.version = typeof gitVersion === 'string' ? gitVersion : '';
      this.api = api;
    });
  }

  reachable(side: CheckedSide): boolean {
    return side === 'source' ? this.source !== undefined : this.api !== undefined;
  }

  unreachableBecause(side: CheckedSide): string {
    const error = this.errors.get(side);
    return error instanceof Error ? error.message : String(error);
  }

  /** The source at one revision. */
  read(): SourceRead {
    if (!this.source) throw new Error('etcd cannot be reached');
    return this.source;
  }

  kubernetes(): KubernetesApi {
    if (!this.api) throw new Error('the cluster cannot be reached');
    return this.api;
  }

  /** "v1.36.3"; empty when the cluster could not be asked. */
  get kubernetesVersion(): string {
    return this.version;
  }

  encoding(): DecidedEncoding {
    const { plan, manifests } = this.input;
    return decideEncoding(plan, manifests?.kubernetes.calicoVersion, this.source?.calicoVersion);
  }

  /** What the import would write. */
  desired(): Promise<DesiredState> {
    return this.once('desired', async () => {
      this.progress('translating');
      return desiredState(this.read().exported.data, this.encoding().encoding);
    });
  }

  /** All CRDs of the cluster by name. */
  crds(): Promise<Map<string, JsonObject>> {
    return this.named('/apis/apiextensions.k8s.io/v1/customresourcedefinitions');
  }

  /** Their metadata. */
  nodes(): Promise<Map<string, JsonObject>> {
    // A node names all its images: some ten kilobytes each that nobody asks for.
    return this.named('/api/v1/nodes', { metadataOnly: true });
  }

  namespaces(): Promise<Map<string, JsonObject>> {
    return this.named('/api/v1/namespaces');
  }

  /** The objects that a manifest applies; none where people apply them. */
  manifest(which: 'kubernetes' | 'etcd'): Promise<ManifestObject[]> {
    return this.once(`manifest ${which}`, async () => {
      const artifact = this.input.manifests?.[which].artifact;
      return artifact ? appliedObjects(await this.dependencies.artifacts.read(artifact), artifact.name) : [];
    });
  }

  /** Reads a fact the first time it is asked for. */
  once<Fact>(name: string, read: () => Promise<Fact>): Promise<Fact> {
    const known = this.known.get(name);
    // The name and its type are fixed at the one place that reads it.
    if (known) return known as Promise<Fact>;
    const reading = (async () => read())();
    this.known.set(name, reading);
    return reading;
  }

  private named(path: string, options: ListOptions = {}): Promise<Map<string, JsonObject>> {
    return this.once(path, async () => {
      const found = new Map<string, JsonObject>();
      for await (const item of this.kubernetes().list(path, options)) {
        const { name } = member(item, 'metadata');
        if (typeof name === 'string' && isObject(item)) found.set(name, item);
      }
      return found;
    });
  }

  private async keepError(side: CheckedSide, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.signal.throwIfAborted();
      this.errors.set(side, error);
    }
  }
}
