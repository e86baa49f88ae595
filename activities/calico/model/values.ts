// The values of etcd, as far as their shape matters to us: Calico decodes them into typed structures and leaves out what does not fit, and
// so do we, but by name and with the reason.
import { isObject, parseJson, type Json, type JsonObject } from '../json';
import { Refused } from './disposition';
import type { EtcdEntry } from './entry';

/** The value as JSON object. @throws Refused */
export function objectValue(entry: Pick<EtcdEntry, 'value' | 'valueBase64'>): JsonObject {
  if (entry.valueBase64 !== undefined) throw new Refused('unparseable', 'the value is no UTF-8 text');
  if (entry.value === '') throw new Refused('unparseable', 'the value is empty');
  const value = parsed(entry.value);
  if (!isObject(value)) throw new Refused('unparseable', 'the value is JSON, but no object');
  return value;
}

function parsed(text: string): Json {
  try {
    return parseJson(text);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new Refused('unparseable', `the value is no JSON: ${detail}`);
  }
}

/** The member as object; an empty one where it is absent or null. @throws Refused */
export function objectMember(object: JsonObject, name: string): JsonObject {
  const value = object[name] ?? {};
  if (!isObject(value)) throw wrong(name, 'an object');
  return value;
}

/** The member as text; empty where it is absent or null. @throws Refused */
export function textMember(object: JsonObject, name: string): string {
  const value = object[name] ?? '';
  if (typeof value !== 'string') throw wrong(name, 'a text');
  return value;
}

/** False where it is absent or null. @throws Refused */
export function flagMember(object: JsonObject, name: string): boolean {
  const value = object[name] ?? false;
  if (typeof value !== 'boolean') throw wrong(name, 'true or false');
  return value;
}

/** Empty where it is absent or null. @throws Refused */
export function listMember(object: JsonObject, name: string): Json[] {
  const value = object[name] ?? [];
  if (!Array.isArray(value)) throw wrong(name, 'a list');
  return value;
}

/** A map of texts; nulls in it are empty texts, as Go reads them. @throws Refused */
export function textsMember(object: JsonObject, name: string): Record<string, string> {
  const texts = Object.entries(objectMember(object, name)).map(([key, value]): [string, string] => {
    if (typeof value !== 'string' && value !== null && value !== undefined) throw wrong(`${name}.${key}`, 'a text');
    return [key, value ?? ''];
  });
  return Object.fromEntries(texts);
}

/** The largest number that Kubernetes keeps exactly. */
const largest = 2n ** 63n - 1n;

/** A whole number that Kubernetes can hold; 0 where it is absent or null. @throws Refused */
export function integerMember(object: JsonObject, name: string): number | bigint {
  const value = object[name] ?? 0;
  if (!isInteger(value)) throw wrong(name, 'a whole number of at most 64 bits');
  return value;
}

export function isInteger(value: Json | undefined): value is number | bigint {
  if (typeof value === 'bigint') return value <= largest && value >= -largest;
  return typeof value === 'number' && Number.isSafeInteger(value);
}

export function wrong(name: string, expected: string): Refused {
  return new Refused('unparseable', `${name} is not ${expected}`);
}
