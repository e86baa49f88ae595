// Everything below a prefix of etcd, page by page: gRPC takes no answer beyond 4 MiB. For a datastore at rest; pages are not of one revision.
import type { Etcd3, IKeyValue } from 'etcd3';

const keysInOnePage = 1_000;

export async function readEtcd(etcd: Etcd3, prefix: string): Promise<IKeyValue[]> {
  const found: IKeyValue[] = [];
  // "0" is the character after the slash.
  const range_end = Buffer.from(`${prefix}0`);
  for (let key = Buffer.from(`${prefix}/`); ;) {
    const { kvs, more } = await etcd.kv.range({ key, range_end, limit: keysInOnePage });
    found.push(...kvs);
    const last = kvs.at(-1);
    if (!more || !last) return found;
    key = Buffer.concat([last.key, Buffer.of(0)]);
  }
}
