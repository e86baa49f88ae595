// Etcd entries in, export data out: names decoded, nodes renamed, every entry accounted for.
import type { CalicoAccounting } from '../../../journal/types';
import type { JsonObject } from '../json';
import type { CalicoData } from './calico-data';
import { accountFor, Ledger, Refused, type Disposition } from './disposition';
import type { EtcdEntry } from './entry';
import { exportIpam } from './export-ipam';
import { exportResources, type ExportWork } from './export-resources';
import { ipamKindName } from './ipam-entries';
import { parseKey, type CalicoKey } from './keys';
import { kindByPlural } from './kinds';
import { objectMember, objectValue } from './values';

export type { Disposition, RefusalCategory } from './disposition';

export interface ExportOptions {
  /** Of the source: "/calico". */
  prefix: string;
  /** At which the entries were read, as text. */
  revision: string;
  /** Exactly what calicoctl 3.30 itself exports, its omissions included; for comparison with it only. */
  strictParity?: boolean;
}

export interface CalicoExport {
  data: CalicoData;
  accounting: CalicoAccounting;
  /** One for every entry, in the order of the entries. */
  dispositions: Disposition[];
}

/**
 * @param entries in the order of their keys
 * @throws Error when an entry would be without its one disposition: a defect, never the data's fault
 */
export function exportEntries(
  entries: Iterable<EtcdEntry>,
  { prefix, revision, strictParity = false }: ExportOptions,
): CalicoExport {
  const list = [...entries];
  const keys = list.map(({ key }) => parseKey(key, prefix));
  const ledger = new Ledger(list.map(({ key }, index) => ({ key, kind: kindOf(keys[index]) })));
  const work: ExportWork = { entries: list, keys, ledger, remarks: [], renames: [], strictParity };
  settleOthers(work);
  const clusterInformation = exportClusterInformation(work);
  const { resources, nodes } = exportResources(work);
  const ipam = exportIpam(work, nodes);
  const dispositions = ledger.close();
  return {
    data: { ...(clusterInformation && { clusterInformation }), resources, ipam },
    accounting: accountFor(revision, dispositions, [...work.remarks, ...work.renames]),
    dispositions,
  };
}

function kindOf(key: CalicoKey | undefined): string {
  if (!key || key.type === 'other') return key?.what ?? 'unknown';
  return key.type === 'resource' ? (kindByPlural(key.plural)?.kind ?? key.plural) : ipamKindName(key);
}

const reasons: Record<string, string> = {
  'host marker': 'a mark of old Calico versions without content',
  'Felix status': 'Felix reports it anew',
  'v1 data': 'data of Calico v1 and v2, which v3 does not read',
};

function settleOthers({ keys, ledger }: ExportWork): void {
  keys.forEach((key, index) => {
    if (key.type !== 'other') return;
    const reason = reasons[key.what];
    if (reason) ledger.settle(index, { fate: 'derived', reason });
    else ledger.refuse(index, { category: 'unknown', reason: 'Calico has nothing under a key of this shape' });
  });
}

/** The object as it is: the file keeps its UID, times and revision. */
function exportClusterInformation({ keys, entries, ledger }: ExportWork): JsonObject | undefined {
  let found: JsonObject | undefined;
  keys.forEach((key, index) => {
    const entry = entries[index];
    if (!entry || key.type !== 'resource' || kindByPlural(key.plural)?.fate !== 'cluster') return;
    try {
      if (key.name !== 'default' || key.namespace !== undefined)
        throw new Refused('unknown', 'Calico reads the one named default only');
      found = clusterInformation(entry);
      ledger.settle(index, { fate: 'migrated' });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      ledger.refuse(index, error);
    }
  });
  return found;
}

function clusterInformation(entry: EtcdEntry): JsonObject {
  const value = objectValue(entry);
  const metadata = objectMember(value, 'metadata');
  return {
    kind: 'ClusterInformation',
    apiVersion: 'projectcalico.org/v3',
    metadata: { ...metadata, name: 'default', resourceVersion: entry.modRevision },
    spec: objectMember(value, 'spec'),
  };
}
