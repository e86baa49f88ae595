// One etcd datastore of Calico, as far as this product uses it: reads at one revision, page by page, and writes of single keys.
import type { EtcdEntry } from '../model/entry';

export interface EtcdPage {
  entries: EtcdEntry[];
  /** Keys below the prefix at that revision. */
  total: number;
}

export interface EtcdDatastore {
  /** Of the cluster now, by a linearizable read: 64-bit, as text. */
  revision(): Promise<string>;
  /** Everything below `prefix` + "/" at one revision, in key order. @throws PreconditionFailed when the revision is compacted */
  readAll(prefix: string, revision?: string, signal?: AbortSignal): AsyncIterable<EtcdPage>;
  get(key: string, revision?: string): Promise<EtcdEntry | undefined>;
  /** Writes only if the key is as it was read. False: somebody else was there first. */
  compareAndSwap(key: string, expected: string, value: string): Promise<{ swapped: boolean; revision: string }>;
  put(key: string, value: string | Buffer): Promise<void>;
  delete(key: string): Promise<void>;
  /** "3.6.16" */
  version(): Promise<string>;
}
