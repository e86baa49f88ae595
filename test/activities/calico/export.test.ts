import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createFileStore } from '../../../activities/artifacts/file-store';
import type { ArtifactStore } from '../../../activities/artifacts/store';
import { createCalicoExportActivities } from '../../../activities/calico/export';
import type { Disposition } from '../../../activities/calico/model/disposition';
import type { EtcdEntry } from '../../../activities/calico/model/entry';
import { readExportFile } from '../../../activities/calico/model/export-file';
import type { CalicoScope } from '../../../activities/calico/scope';
import { failureType } from '../../../activities/errors';
import { goldenEntries, resource } from '../../unit/calico/golden';

const scope: CalicoScope = {
  migration: 'calico-to-kubernetes',
  source: { endpoints: ['https://10.0.0.1:2379'], prefix: '/calico' },
  target: { inCluster: true },
};

let root: string;
let artifacts: ArtifactStore;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cutover-export-'));
  artifacts = createFileStore(pathToFileURL(root).href);
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function exported(entries: EtcdEntry[] | string) {
  const text = typeof entries === 'string' ? entries : entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
  const snapshot = await artifacts.put(scope.migration, 'etcd.jsonl', text);
  return createCalicoExportActivities({ artifacts }).exportCalico({ scope, snapshot, revision: '233' });
}

const inKeyOrder = (entries: EtcdEntry[]) =>
  [...entries].sort((left, right) => Buffer.compare(Buffer.from(left.key), Buffer.from(right.key)));

it('turns a snapshot into a file and into the fate of every key', async () => {
  const result = await exported(goldenEntries());
  const data = readExportFile(await artifacts.read(result.file));
  expect(result).toMatchObject({ calicoVersion: 'v3.30.3', accounting: { revision: '233' } });
  expect(result.refusedByCategory).toEqual({ 'inexpressible-name': 1, 'user-profile': 1 });
  const { affinities, blocks, handles } = data.ipam;
  expect(result.objects).toBe(data.resources.length + affinities.length + blocks.length + handles.length + 2);
  const fates = (await artifacts.read(result.dispositions)).trim().split('\n');
  expect(fates.map((line) => (JSON.parse(line) as Disposition).key)).toEqual(goldenEntries().map(({ key }) => key));
});

it('gives the same file for the same snapshot, byte for byte', async () => {
  expect(await exported(goldenEntries())).toEqual(await exported(goldenEntries()));
});

it('answers no more for a thousand refused keys than for a few', async () => {
  const profiles = Array.from({ length: 1000 }, (_, index) => resource('profiles', `mine-${index}`));
  const result = await exported(inKeyOrder([...goldenEntries(), ...profiles]));
  expect(result.refusedByCategory['user-profile']).toBe(1001);
  expect(JSON.stringify(result).length).toBeLessThan(20_000);
});

it('refuses a snapshot without a cluster information, and a file that is no snapshot', async () => {
  const typeOf = (work: Promise<unknown>) => work.then(() => 'no failure', failureType);
  const without = goldenEntries().filter(({ key }) => !key.includes('clusterinformations'));
  expect(await typeOf(exported(without))).toBe('PreconditionFailed');
  expect(await typeOf(exported('nonsense\n'))).toBe('PreconditionFailed');
});
