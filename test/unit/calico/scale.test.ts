import type { EtcdEntry } from '../../../activities/calico/model/entry';
import { desiredState } from '../../../activities/calico/model/desired';
import { exportEntries } from '../../../activities/calico/model/export';
import { readExportFile, writeExportFile } from '../../../activities/calico/model/export-file';
import { block, encoding330, entry, node, resource } from './golden';

/** Of every kind some, handles above all, as in a cluster with many pods. */
function datastore(size: number): EtcdEntry[] {
  const numbers = (share: number) => Array.from({ length: Math.round(size * share) }, (_, index) => index);
  return [
    resource('clusterinformations', 'default', { spec: { datastoreReady: false } }),
    ...numbers(0.05).map((index) => node(`old-${index}`, `node-${index}`)),
    ...numbers(0.1).map((index) => resource('networkpolicies', `ns-${index % 50}/default.p${index}`)),
    ...numbers(0.1).map((index) => block(`10.${index >> 14}.${(index >> 6) & 255}.${(index & 63) << 2}/30`)),
    ...numbers(0.75).map((index) => entry(`ipam/v2/handle/h${index}`, { block: { '10.0.0.0/30': 1 } })),
  ];
}

function measured(size: number): number {
  const entries = datastore(size);
  const started = process.cpuUsage();
  const { data, dispositions } = exportEntries(entries, { prefix: '/calico', revision: '1' });
  const { objects, nodes, problems } = desiredState(readExportFile(writeExportFile(data)), encoding330);
  const { user, system } = process.cpuUsage(started);
  expect(dispositions.every(({ fate }) => fate === 'migrated')).toBe(true);
  expect(objects.length + nodes.length).toBe(entries.length);
  expect(problems).toEqual([]);
  return (user + system) / 1000;
}

test('four times the data takes about four times as long, not sixteen', () => {
  measured(2_000);
  const small = measured(10_000);
  const large = measured(40_000);
  expect(large / small).toBeLessThan(10);
});
