// A CustomResourceDefinition, as far as it matters here.
import { isObject, type Json, type JsonObject } from '../json';
import { metadataOf } from './present';

export interface Definition {
  /** "ippools.crd.projectcalico.org" */
  name: string;
  uid?: string;
  group: string;
  kind: string;
  plural: string;
  namespaced: boolean;
  leaving: boolean;
  versions: { name: string; served: boolean; schema?: Json }[];
  /** What the apiserver has made of it, by type: "Established". */
  conditions: Map<string, { holds: boolean; message?: string }>;
}

/** Members that are missing or of another type are empty: the apiserver does not accept such a definition in the first place. */
export function readDefinition(crd: JsonObject): Definition {
  const { name, uid, deletionTimestamp } = metadataOf(crd);
  const spec = isObject(crd.spec) ? crd.spec : {};
  const status = isObject(crd.status) ? crd.status : {};
  const names = isObject(spec.names) ? spec.names : {};
  return {
    name: text(name),
    ...(typeof uid === 'string' && { uid }),
    group: text(spec.group),
    kind: text(names.kind),
    plural: text(names.plural),
    namespaced: spec.scope === 'Namespaced',
    leaving: deletionTimestamp !== undefined,
    versions: objects(spec.versions).map((version) => ({
      name: text(version.name),
      served: version.served === true,
      schema: version.schema,
    })),
    conditions: new Map(
      objects(status.conditions).map(({ type, status: state, message }) => [
        text(type),
        { holds: state === 'True', ...(typeof message === 'string' && { message }) },
      ]),
    ),
  };
}

/** Of the collections that it serves, the first one first. */
export function servedPaths({ group, plural, versions }: Definition): string[] {
  return versions.filter(({ served }) => served).map(({ name }) => `/apis/${group}/${name}/${plural}`);
}

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

function objects(value: Json | undefined): JsonObject[] {
  return (Array.isArray(value) ? value : []).filter(isObject);
}
