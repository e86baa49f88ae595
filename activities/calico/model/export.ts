// Etcd entries in, export data out: names decoded, nodes renamed, every entry accounted for.
import type { CalicoAccounting } from '../../../journal/types';
import type { CalicoData } from './calico-data';
import type { Disposition } from './disposition';
import type { EtcdEntry } from './entry';

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

/** @throws Error when an entry would be without its one disposition: a defect, never the data's fault */
export function exportEntries(_entries: Iterable<EtcdEntry>, _options: ExportOptions): CalicoExport {
  throw new Error('not yet');
}
