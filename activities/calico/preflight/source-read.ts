// Everything below the prefix, read once at one revision and translated: the dry run of snapshot and export.
import { clusterInformationKey, readClusterInformation, type LockState } from '../etcd/lock-state';
import type { EtcdDatastore } from '../etcd/datastore';
import type { EtcdEntry } from '../model/entry';
import { exportEntries, type CalicoExport } from '../model/export';

export interface SourceRead {
  /** "3.6.16"; undefined where the user may not ask. */
  version?: string;
  revision: string;
  keys: number;
  /** `unreadable` with the reason in `lockError`. */
  lock: LockState | 'unreadable';
  lockError?: string;
  calicoVersion?: string;
  /** Why the lock could not be set; undefined when it could. */
  notWritable?: string;
  exported: CalicoExport;
}

export async function readSource(etcd: EtcdDatastore, prefix: string, signal: AbortSignal): Promise<SourceRead> {
  const version = await etcd.version();
  const revision = await etcd.revision();
  const entries: EtcdEntry[] = [];
  for await (const page of etcd.readAll(prefix, revision, { signal })) entries.push(...page.entries);
  const exported = exportEntries(entries, { prefix, revision });
  const notWritable = await whyNotWritable(etcd, prefix);
  return { version, revision, keys: entries.length, ...lockOf(entries, prefix), notWritable, exported };
}

async function whyNotWritable(etcd: EtcdDatastore, prefix: string): Promise<string | undefined> {
  try {
    await etcd.requireWritable(clusterInformationKey(prefix));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function lockOf(entries: EtcdEntry[], prefix: string): Pick<SourceRead, 'lock' | 'lockError' | 'calicoVersion'> {
  const key = clusterInformationKey(prefix);
  const entry = entries.find((candidate) => candidate.key === key);
  if (!entry) return { lock: 'missing' };
  try {
    const { state, calicoVersion } = readClusterInformation(key, entry.value);
    return { lock: state, calicoVersion };
  } catch (error) {
    return { lock: 'unreadable', lockError: error instanceof Error ? error.message : String(error) };
  }
}
