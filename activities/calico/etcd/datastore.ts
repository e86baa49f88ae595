// One etcd as far as this product uses it: reads at one revision, page by page, and writes of single keys with a condition.
// Every call ends within its deadline, and every error is a failure of the closed set.
import type { Etcd3, IRangeRequest, IRangeResponse, IRequestOp } from 'etcd3';
import { failureType } from '../../errors';
import type { EtcdEntry } from '../model/entry';
import { etcdFailure, type EtcdAddress } from './errors';
import { entryOf, readPages, type EtcdPage, type PageOptions } from './paging';

export type { EtcdPage, PageOptions } from './paging';

/** `value` is put; without it the key is deleted. */
export interface EtcdWrite {
  key: string;
  value?: string | Buffer;
}

/** Well below etcd's own limits: 128 operations and 1.5 MiB a request. */
const operationsInOneWrite = 100;
const bytesInOneWrite = 512 * 1024;

export class EtcdDatastore {
  constructor(
    private readonly client: Etcd3,
    private readonly address: EtcdAddress,
    /** Of the plan: what the user of the plan may surely read. */
    private readonly prefix: string,
  ) {}

  /** Of the whole etcd now, by a linearizable read: 64-bit, as text. */
  async revision(prefix = this.prefix): Promise<string> {
    const { header } = await this.range(`Reading ${prefix}/`, { ...below(prefix), count_only: true });
    return header.revision;
  }

  /** How many keys are below `prefix` + "/" now. */
  async count(prefix = this.prefix): Promise<number> {
    const { count } = await this.range(`Counting ${prefix}/`, { ...below(prefix), count_only: true });
    return Number(count);
  }

  /**
   * Everything below `prefix` + "/" at one revision (now, when none is given), in the byte order of the keys.
   * @throws PreconditionFailed when the revision is compacted (`isCompacted`), SourceUnavailable when etcd stays away
   */
  async *readAll(prefix: string, revision?: string, options: PageOptions = {}): AsyncGenerator<EtcdPage> {
    const pinned = revision ?? (await this.revision(prefix));
    yield* readPages((request) => this.range(`Reading ${prefix}/ at revision ${pinned}`, request), {
      ...options,
      ...below(prefix),
      revision: pinned,
    });
  }

  /** One key, now or at a revision. */
  async get(key: string, revision?: string): Promise<EtcdEntry | undefined> {
    const { kvs } = await this.range(`Reading ${key}`, { key: Buffer.from(key), revision: revision ?? '0' });
    return kvs[0] && entryOf(kvs[0]);
  }

  /**
   * Writes a key only if it is as it was read.
   * `swapped` is false when somebody else was there first, and when our own write of before an interrupted answer was.
   */
  async compareAndSwap(
    key: string,
    /** `modRevision` of the entry that was read, or `absent`. */
    expected: string,
    value: string,
  ): Promise<{ swapped: boolean; revision: string }> {
    const { succeeded, header } = await this.explained(`Writing ${key}`, () =>
      this.client.kv.txn({
        compare: [
          {
            key: Buffer.from(key),
            target: 'Mod',
            result: 'Equal',
            mod_revision: expected === 'absent' ? '0' : expected,
          },
        ],
        success: [{ request_put: { key: Buffer.from(key), value: Buffer.from(value) } }],
      }),
    );
    return { swapped: succeeded, revision: header.revision };
  }

  /**
   * Asks whether this key may be written, by a transaction whose condition never holds: etcd looks at rights and room before it looks at that.
   * @throws AuthDenied; PreconditionFailed when etcd has raised its alarm for want of space
   */
  async requireWritable(key: string): Promise<void> {
    await this.explained(`Trying whether ${key} may be written`, () =>
      this.client.kv.txn({
        compare: [{ key: Buffer.from(key), target: 'Version', result: 'Less', version: '0' }],
        success: [{ request_put: { key: Buffer.from(key), value: Buffer.alloc(0) } }],
      }),
    );
  }

  async put(key: string, value: string | Buffer): Promise<void> {
    await this.write([{ key, value }]);
  }

  async delete(key: string): Promise<void> {
    await this.write([{ key }]);
  }

  /** Writes in their order, as many in one transaction as etcd takes. Keys must differ. */
  async write(writes: EtcdWrite[]): Promise<void> {
    for (const batch of batches(writes)) {
      const success = batch.map(requestOf);
      const what = batch.length === 1 ? batch[0]?.key : `${batch[0]?.key} and ${batch.length - 1} more keys`;
      await this.explained(`Writing ${what}`, () => this.client.kv.txn({ success }));
    }
  }

  /** Of the member that answers: "3.6.16"; undefined where the user may not ask. */
  async version(): Promise<string | undefined> {
    try {
      const { version } = await this.explained('Asking for the version', () => this.client.maintenance.status());
      return version;
    } catch (error) {
      if (failureType(error) === 'AuthDenied') return undefined;
      throw error;
    }
  }

  private range(doing: string, request: IRangeRequest): Promise<IRangeResponse> {
    return this.explained(doing, () => this.client.kv.range(request));
  }

  private async explained<T>(doing: string, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw etcdFailure(error, doing, this.address);
    }
  }
}

/** The range of everything below `prefix` + "/": "0" is the character after the slash, so `/calico-other` is outside. */
function below(prefix: string): { key: Buffer; range_end: Buffer } {
  return { key: Buffer.from(`${prefix}/`), range_end: Buffer.from(`${prefix}0`) };
}

/** What is put or deleted, as a part of a transaction. */
function requestOf({ key, value }: EtcdWrite): IRequestOp {
  if (value === undefined) return { request_delete_range: { key: Buffer.from(key) } };
  return { request_put: { key: Buffer.from(key), value: Buffer.from(value as Buffer) } };
}

function* batches(writes: EtcdWrite[]): Generator<EtcdWrite[]> {
  let batch: EtcdWrite[] = [];
  let bytes = 0;
  for (const write of writes) {
    const size = Buffer.byteLength(write.key) + Buffer.byteLength(write.value ?? '');
    if (batch.length > 0 && (batch.length >= operationsInOneWrite || bytes + size > bytesInOneWrite)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(write);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
