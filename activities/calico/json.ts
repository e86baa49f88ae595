// JSON for Calico data, read and written without losing a digit: IPAM sequence numbers are nanoseconds since 1970 (some 1.8e18) and do not
// fit a JavaScript number. Whole numbers beyond 2^53 are bigints here; every other number is a plain one.
import { isSafeNumber, parse, stringify } from 'lossless-json';

export type Json = string | number | bigint | boolean | null | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json | undefined;
}

/** Parses JSON text. @throws SyntaxError for what is no JSON, and for an object that says a key twice with different values */
export function parseJson(text: string): Json {
  return parse(text, undefined, parseNumber) as Json;
}

/** Prints JSON; members that are undefined are left out. `indent` is a number of spaces. */
export function printJson(value: Json, indent?: number): string {
  return stringify(value, undefined, indent) ?? 'null';
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
