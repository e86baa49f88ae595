// A range of etcd read page by page at one revision. Pages are measured in bytes as well as in keys: etcd limits an answer by its
// number of keys only, and gRPC refuses one that is too large. A page that fails for want of etcd is asked for again, at the same revision.
import { isUtf8 } from 'node:buffer';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IKeyValue, IRangeRequest, IRangeResponse } from 'etcd3';
import { failure, failureType } from '../../errors';
import type { EtcdEntry } from '../model/entry';
import { AnswerTooLarge } from './errors';

export interface PageOptions {
  /** Entries without values, for a look at their revisions. */
  keysOnly?: boolean;
  /** Looked at between pages. */
  signal?: AbortSignal;
}

export interface EtcdPage {
  entries: EtcdEntry[];
  /** Keys in the whole range at that revision. */
  total: number;
  revision: string;
}

interface PagedRange extends PageOptions {
  key: Buffer;
  range_end: Buffer;
  revision: string;
}

const wantedBytes = 1024 * 1024;
const firstLimit = 32;
const greatestLimit = 5_000;
/** How long one page is tried for when etcd does not answer. */
const patienceMs = 30_000;

type Range = (request: IRangeRequest) => Promise<IRangeResponse>;

/** @throws PreconditionFailed for a value that no page can hold; what `range` throws */
export async function* readPages(range: Range, paged: PagedRange): AsyncGenerator<EtcdPage> {
  const { range_end, revision, keysOnly = false, signal } = paged;
  let key = paged.key;
  let limit = firstLimit;
  let total: number | undefined;
  for (;;) {
    signal?.throwIfAborted();
    const request = { key, range_end, revision, limit, keys_only: keysOnly };
    const answer = await patiently(() => range(request), signal).catch((error: unknown) => {
      if (!(error instanceof AnswerTooLarge)) throw error;
      return undefined;
    });
    if (!answer) {
      if (limit === 1) throw await tooLarge(range, { key, range_end, revision });
      limit = Math.ceil(limit / 4);
      continue;
    }
    total ??= Number(answer.count);
    yield { entries: answer.kvs.map(entryOf), total, revision };
    const last = answer.kvs.at(-1);
    if (!answer.more || !last) return;
    key = Buffer.concat([last.key, Buffer.of(0)]);
    limit = nextLimit(answer.kvs, limit);
  }
}

/** As many keys as make a page of the wanted size, if they are like those of the last page; never more than four times as many at once. */
function nextLimit(kvs: IRangeResponse['kvs'], limit: number): number {
  const bytes = kvs.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
  const fitting = Math.floor(wantedBytes / Math.max(1, bytes / kvs.length));
  return Math.max(1, Math.min(fitting, limit * 4, greatestLimit));
}

async function patiently<T>(call: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const deadline = Date.now() + patienceMs;
  for (let pauseMs = 200; ; pauseMs = Math.min(pauseMs * 2, 3_000)) {
    try {
      return await call();
    } catch (error) {
      if (failureType(error) !== 'SourceUnavailable' || Date.now() + pauseMs > deadline) throw error;
      await sleep(pauseMs, undefined, { signal });
    }
  }
}

async function tooLarge(range: Range, request: Pick<IRangeRequest, 'key' | 'range_end' | 'revision'>): Promise<Error> {
  const { kvs } = await range({ ...request, limit: 1, keys_only: true });
  return failure(
    'PreconditionFailed',
    `The value of ${kvs[0]?.key.toString() ?? 'a key'} is larger than an answer of etcd may be. Nothing of Calico's is that large: look at the key with etcdctl, remove it, and retry.`,
  );
}

/** @throws PreconditionFailed for a key that is no UTF-8: nothing of Calico's writes one, and it could not be put back by name */
export function entryOf({ key, value, create_revision, mod_revision, lease }: IKeyValue): EtcdEntry {
  if (!isUtf8(key)) {
    throw failure(
      'PreconditionFailed',
      `The key ${JSON.stringify(key.toString('latin1'))} is no UTF-8 text, so it is not Calico's. Look at it with etcdctl, delete it, and retry.`,
    );
  }
  return {
    key: key.toString('utf8'),
    value: isUtf8(value) ? value.toString('utf8') : '',
    ...(isUtf8(value) ? {} : { valueBase64: value.toString('base64') }),
    createRevision: create_revision,
    modRevision: mod_revision,
    ...(lease === '0' ? {} : { leased: true }),
  };
}
