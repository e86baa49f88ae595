// The desired state of a few entries.
import { desiredState, type DesiredObject, type DesiredState } from '../../../activities/calico/model/desired';
import type { EtcdEntry } from '../../../activities/calico/model/entry';
import { exportEntries } from '../../../activities/calico/model/export';
import type { Encoding } from '../../../activities/calico/scope';
import { encoding330 } from './golden';

export function desired(entries: EtcdEntry[], encoding: Encoding = encoding330): DesiredState {
  return desiredState(exportEntries(entries, { prefix: '/calico', revision: '1' }).data, encoding);
}

/** The one object, when there is no problem. */
export function only(...entries: EtcdEntry[]): DesiredObject {
  const { objects, problems } = desired(entries);
  expect(problems).toEqual([]);
  expect(objects).toHaveLength(1);
  return objects[0]!;
}
