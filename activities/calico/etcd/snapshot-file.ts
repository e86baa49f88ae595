// A snapshot of etcd as a file: JSON lines of EtcdEntry in the byte order of their keys. Written and read as a stream, checked as it is read.
import { createReadStream } from 'node:fs';
import { z } from 'zod';
import { failure } from '../../errors';
import type { EtcdEntry } from '../model/entry';

const entrySchema: z.ZodType<EtcdEntry> = z.strictObject({
  key: z.string().min(1),
  value: z.string(),
  valueBase64: z.string().optional(),
  createRevision: z.string(),
  modRevision: z.string(),
  leased: z.boolean().optional(),
});

/** One line, with its end. */
export function printEntry(entry: EtcdEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

/** The bytes that etcd holds. */
export function bytesOf({ value, valueBase64 }: EtcdEntry): Buffer {
  return valueBase64 === undefined ? Buffer.from(value) : Buffer.from(valueBase64, 'base64');
}

/** Of the value, in bytes. */
export function sizeOf({ value, valueBase64 }: EtcdEntry): number {
  return valueBase64 === undefined ? Buffer.byteLength(value) : Buffer.byteLength(valueBase64, 'base64');
}

export function sameValue(left: EtcdEntry, right: EtcdEntry): boolean {
  return left.value === right.value && left.valueBase64 === right.valueBase64;
}

/** etcd's order of keys, which is that of their bytes; JavaScript's differs beyond the basic plane. */
export function compareKeys(left: string, right: string): number {
  if (left === right) return 0;
  return Buffer.compare(Buffer.from(left), Buffer.from(right));
}

/**
 * The entries of a snapshot file, in key order.
 * @throws PreconditionFailed naming the line, for a file that is no snapshot or whose keys are out of order
 */
export async function* readEntries(path: string): AsyncGenerator<EtcdEntry> {
  let number = 0;
  let last: string | undefined;
  for await (const line of linesOf(path)) {
    number += 1;
    const entry = parseLine(line);
    if (!entry || (last !== undefined && compareKeys(last, entry.key) >= 0)) {
      throw failure(
        'PreconditionFailed',
        `Line ${number} of the snapshot ${path} is ${entry ? 'out of order' : 'no entry of a snapshot'}. Give the artifact that the snapshot step stored, unchanged.`,
      );
    }
    last = entry.key;
    yield entry;
  }
}

function parseLine(line: string): EtcdEntry | undefined {
  try {
    return entrySchema.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}

/** Not node:readline: that also breaks lines at U+2028, which may stand in a value. */
async function* linesOf(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });
  let rest = '';
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) {
    const lines = (rest + decoder.decode(chunk as Buffer, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') yield rest;
}
