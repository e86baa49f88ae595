// JSON to and from the apiserver, without losing a digit and at the speed of the platform's own parser wherever that one is exact:
// a number that does not fit has at least sixteen digits, and a text without so many digits in a row holds none.
import { parseJson, printJson, type Json } from '../json';

const manyDigits = /\d{16}/;

/** @throws SyntaxError */
export function parseWire(text: string): Json {
  return manyDigits.test(text) ? parseJson(text) : (JSON.parse(text) as Json);
}

export function printWire(value: Json): string {
  return holdsBigint(value) ? printJson(value) : JSON.stringify(value);
}

function holdsBigint(value: Json | undefined): boolean {
  if (typeof value === 'bigint') return true;
  if (typeof value !== 'object' || value === null) return false;
  return Array.isArray(value) ? value.some(holdsBigint) : Object.values(value).some(holdsBigint);
}
