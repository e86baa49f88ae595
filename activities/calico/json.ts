// JSON for Calico data, read and written without losing a digit: IPAM sequence numbers are nanoseconds since 1970 (some 1.8e18) and do not
// fit a JavaScript number. Whole numbers beyond 2^53 are bigints here; every other number is a plain one.
import { isSafeNumber, parse, stringify } from 'lossless-json';

export type Json = string | number | bigint | boolean | null | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json | undefined;
}

/** A number that does not fit has at least sixteen digits; a text without so many in a row holds none. */
const manyDigits = /\d{16}/;
const stringOrNumber = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gs;
const wholeNumber = /^-?\d{16,}$/;
const mark = '\u0000bigint:';
const writtenMark = JSON.stringify(mark).slice(1, -1);

/**
 * Parses JSON text, at the speed of the platform's own parser: a datastore of 100,000 handles is some 50 MB. Numbers that it would round are
 * marked before and made bigints after. Of a key that is said twice the last value counts, as Go has it.
 * @throws SyntaxError for what is no JSON
 */
export function parseJson(text: string): Json {
  try {
    if (!manyDigits.test(text)) return JSON.parse(text) as Json;
    // Our mark begins with a NUL, which JSON can only write so: where there is one the slower parser reads, and nothing is mistaken for a mark.
    if (text.includes('\\u0000')) return parse(text, undefined, parseNumber) as Json;
    let marked = 0;
    const safe = text.replace(stringOrNumber, (token) => {
      if (!wholeNumber.test(token) || isSafeNumber(token)) return token;
      marked += 1;
      return `"${writtenMark}${token}"`;
    });
    const value = JSON.parse(safe) as Json;
    return marked === 0 ? value : unmark(value);
  } catch {
    // It says where the mistake is without quoting what stands around it.
    return parse(text, undefined, parseNumber) as Json;
  }
}

function unmark(value: Json): Json {
  if (typeof value === 'string') return value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value;
  if (typeof value !== 'object' || value === null) return value;
  const members: Record<string | number, Json | undefined> = value as never;
  for (const key of Object.keys(value)) {
    const member = members[key];
    if (member !== undefined) members[key] = unmark(member);
  }
  return value;
}

/** Prints JSON; members that are undefined are left out. `indent` is a number of spaces. */
export function printJson(value: Json, indent?: number): string {
  return holdsBigint(value)
    ? (stringify(value, undefined, indent) ?? 'null')
    : JSON.stringify(value, undefined, indent);
}

function holdsBigint(value: Json | undefined): boolean {
  if (typeof value === 'bigint') return true;
  if (typeof value !== 'object' || value === null) return false;
  return Array.isArray(value) ? value.some(holdsBigint) : Object.values(value).some(holdsBigint);
}

function parseNumber(text: string): number | bigint {
  if (/^-?\d+$/.test(text) && !isSafeNumber(text)) return BigInt(text);
  return Number(text);
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Equal as data: order of members does not matter, members that are undefined are absent, 1 equals 1n. */
export function equalJson(left: Json | undefined, right: Json | undefined): boolean {
  if (left === right) return true;
  if (typeof left === 'bigint' || typeof right === 'bigint')
    return isNumeric(left) && isNumeric(right) && left == right;
  if (Array.isArray(left)) {
    return (
      Array.isArray(right) && left.length === right.length && left.every((item, index) => equalJson(item, right[index]))
    );
  }
  if (!isObject(left) || !isObject(right)) return false;
  const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...keys].every((key) => equalJson(left[key], right[key]));
}

function isNumeric(value: Json | undefined): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}
