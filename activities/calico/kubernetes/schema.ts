// What an apiserver would not keep of an object as it is, by the schema of its definition: members that it drops without a word, and values
// that it refuses. Calico's etcd checks nothing, so values of an older or a newer Calico lie in it, which would stop an import under the lock.
// Only what is certain is told: patterns, lengths and CEL rules stay the apiserver's business.
import { isObject, printJson, type Json, type JsonObject } from '../json';

/**
 * Where `value` does not fit, a path and a reason each: "spec.nets: it is no array". Empty: it is taken and read back as it is.
 * @param schema an openAPIV3Schema, or a part of one
 */
export function misfits(value: Json | undefined, schema: Json | undefined, path: string): string[] {
  // Null where it is not allowed is dropped, which says the same.
  if (!isObject(schema) || value === undefined || value === null) return [];
  if (schema['x-kubernetes-int-or-string'] === true) {
    return typeof value === 'string' || isWhole(value) ? [] : [`${path}: it is neither a whole number nor a text`];
  }
  switch (schema.type) {
    case 'object':
      return isObject(value) ? inObject(value, schema, path) : [`${path}: it is no object`];
    case 'array':
      return Array.isArray(value)
        ? value.flatMap((item, index) => misfits(item, schema.items, `${path}[${index}]`))
        : [`${path}: it is no array`];
    case 'string':
      return typeof value === 'string' ? notAmong(value, schema, path) : [`${path}: it is no text`];
    case 'boolean':
      return typeof value === 'boolean' ? [] : [`${path}: it is neither true nor false`];
    case 'number':
      return typeof value === 'number' || typeof value === 'bigint' ? [] : [`${path}: it is no number`];
    case 'integer':
      return isWhole(value) ? outOfRange(value, schema, path) : [`${path}: it is no whole number`];
    default:
      return [];
  }
}

function inObject(value: JsonObject, schema: JsonObject, path: string): string[] {
  const properties = isObject(schema.properties) ? schema.properties : {};
  const others = schema.additionalProperties;
  const open = schema['x-kubernetes-preserve-unknown-fields'] === true || others === true;
  const found = Object.entries(value).flatMap(([name, member]) => {
    const known = Object.hasOwn(properties, name) ? properties[name] : others;
    if (isObject(known)) return misfits(member, known, `${path}.${name}`);
    return open || member === undefined || member === null
      ? []
      : [`${path}.${name}: the definition does not know it, so it would be dropped`];
  });
  const required = Array.isArray(schema.required) ? schema.required : [];
  const missing = required.flatMap((name) => {
    if (typeof name !== 'string') return [];
    const rule = properties[name];
    const { nullable, default: byDefault } = isObject(rule) ? rule : {};
    const there = nullable === true ? value[name] !== undefined : (value[name] ?? undefined) !== undefined;
    return there || byDefault !== undefined ? [] : [`${path}.${name}: it is missing`];
  });
  return [...found, ...missing];
}

function notAmong(value: string, schema: JsonObject, path: string): string[] {
  return Array.isArray(schema.enum) && !schema.enum.includes(value)
    ? [`${path}: it is none of ${printJson(schema.enum)}`]
    : [];
}

function isWhole(value: Json): value is number | bigint {
  return typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value));
}

const ranges: Record<string, readonly [bigint, bigint]> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
};

function outOfRange(value: number | bigint, { format, minimum, maximum }: JsonObject, path: string): string[] {
  const name = typeof format === 'string' ? format : '';
  const range = ranges[name];
  if (range && (BigInt(value) < range[0] || BigInt(value) > range[1])) return [`${path}: it is beyond ${name}`];
  const tooSmall = typeof minimum === 'number' && value < minimum;
  const tooLarge = typeof maximum === 'number' && value > maximum;
  return tooSmall || tooLarge ? [`${path}: it is ${tooSmall ? 'less' : 'more'} than it may be`] : [];
}
