// One key of etcd as a snapshot keeps it: enough to put it back as it was.

export interface EtcdEntry {
  /** With the prefix: `/calico/ipam/v2/config`. */
  key: string;
  /** UTF-8 text; empty where the value is no UTF-8. */
  value: string;
  /** Set instead of `value` where the bytes are no UTF-8. */
  valueBase64?: string;
  /** 64-bit, as text. */
  createRevision: string;
  modRevision: string;
  /** The key had a lease: it would have gone by itself. */
  leased?: boolean;
}
