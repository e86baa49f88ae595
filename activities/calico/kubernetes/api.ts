// What this product asks of a kube-apiserver, by path. Answers are parsed without losing a digit; every error is a failure of the closed set;
// "slow down" and short outages are waited for inside, so that whoever calls sees a result or something that a person or Temporal must act on.
import type { Json, JsonObject } from '../json';

export type PatchType = 'merge' | 'json' | 'strategic';

export interface ApplyOptions {
  /** Of server-side apply: "cutover". */
  fieldManager: string;
  /** Takes over fields that others manage. */
  force?: boolean;
  dryRun?: boolean;
}

export interface RemoveOptions {
  /** Only this very object, not one that was made anew under its name. */
  uid?: string;
  /** Only while nobody has changed it. */
  resourceVersion?: string;
}

export interface ListOptions {
  /** Items a page. */
  limit?: number;
  labelSelector?: string;
  /** Items hold their metadata only. */
  metadataOnly?: boolean;
  /** For kinds that the cluster does not serve: a failure (default), or no items. */
  notServed?: 'fail' | 'empty';
}

/** Since the connection was made. */
export interface ApiCounters {
  requests: number;
  /** Answers of "too many requests". */
  throttled: number;
  /** Asked again after an outage. */
  retried: number;
}

/**
 * Paths are those of the REST API without host: `/apis/crd.projectcalico.org/v1/ippools/default`.
 * @throws everywhere: TargetUnavailable (retryable) after some 20 seconds of outage; AuthDenied naming verb and resource; TargetConflict for a
 * write that came too late (`isConflict`); PreconditionFailed with the server's own reason for what it does not accept
 */
export interface KubernetesApi {
  /** `https://10.0.0.1:6443` */
  readonly server: string;
  readonly counters: Readonly<ApiCounters>;
  /** Undefined when it is not there, nor its kind. */
  get(path: string): Promise<JsonObject | undefined>;
  /** The items of a collection, page by page, in the server's order; of all namespaces for a namespaced kind when the path names none. */
  list(path: string, options?: ListOptions): AsyncGenerator<JsonObject>;
  /** `path` of the collection. */
  create(path: string, body: JsonObject): Promise<'created' | 'exists'>;
  /** A POST that is a question, and its answer: reviews of access. Nothing is kept of it, so it may be asked again. */
  ask(path: string, body: JsonObject): Promise<JsonObject>;
  /** The whole object; the body's `metadata.resourceVersion` is the precondition. */
  replace(path: string, body: JsonObject): Promise<JsonObject>;
  patch(path: string, type: PatchType, body: Json): Promise<JsonObject>;
  apply(path: string, body: JsonObject, options: ApplyOptions): Promise<JsonObject>;
  /** Asks for the removal; finalizers may let the object live on for a while. */
  remove(path: string, options?: RemoveOptions): Promise<'removed' | 'absent'>;
  /** For all writers of this connection together; 0 is without a limit. */
  limitWrites(perSecond: number): void;
}
