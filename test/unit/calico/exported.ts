// An export of a few entries, and what the tests look at in it.
import { metadataOf } from '../../../activities/calico/model/metadata';
import type { JsonObject } from '../../../activities/calico/json';
import type { EtcdEntry } from '../../../activities/calico/model/entry';
import { exportEntries, type CalicoExport } from '../../../activities/calico/model/export';
import { text } from './golden';

export function run(...entries: EtcdEntry[]): CalicoExport {
  return exportEntries(entries, { prefix: '/calico', revision: '7' });
}

/** "Kind name" of everything that travels. */
export function names({ data }: CalicoExport): string[] {
  return data.resources.map((object) => {
    const { name, namespace } = metadataOf(object);
    return `${text(object.kind)} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
  });
}

/** Of every entry: why it was refused, or its fate. */
export function categories({ dispositions }: CalicoExport): (string | undefined)[] {
  return dispositions.map(({ category, fate }) => category ?? fate);
}

/** The one resource. */
export function only({ data }: CalicoExport): JsonObject {
  expect(data.resources).toHaveLength(1);
  return data.resources[0]!;
}
