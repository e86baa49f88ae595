import { isObject, printJson, type JsonObject } from '../../../activities/calico/json';
import { collectionPath, resourcePath } from '../../../activities/calico/kubernetes/paths';
import { inLanes } from '../../../activities/calico/kubernetes/lanes';
import { desiredState } from '../../../activities/calico/model/desired';
import { readExportFile, writeExportFile } from '../../../activities/calico/model/export-file';
import { crdKinds } from '../../../activities/calico/model/kinds';
import { withOnlooker } from '../../../activities/heartbeat';
import type { ImportProgress, ImportRequest } from '../../../activities/calico/kubernetes';
import { Cluster } from '../../../examples/calico/cluster';
import { failureOf } from '../../fixtures/failure-of';
import { custom, KubeRig, prefixed } from '../../fixtures/kube-rig';
import { sampleExport } from '../../fixtures/kube-sample';

// Of every kind some; an import of it takes a second or less.
const sample = sampleExport({ handles: 60, policies: 20, nodes: 3 });
const wanted = desiredState(readExportFile(sample.file), prefixed);
const pools = collectionPath('ippools');

let rig: KubeRig;
let elsewhere: Cluster;

beforeAll(async () => {
  rig = await KubeRig.start();
  elsewhere = new Cluster(rig.server.kubeconfig(), 16);
  await rig.installCrds();
  for (const namespace of sample.namespaces) await rig.createNamespace(namespace);
});

afterAll(async () => {
  elsewhere.close();
  await rig.stop();
});

beforeEach(async () => {
  await removeEverything();
});

async function removeEverything(): Promise<void> {
  await inLanes(await everything(), 16, async (live) => {
    const { name, namespace } = live.metadata as { name: string; namespace?: string };
    const plural = crdKinds.find(({ kind }) => kind === live.kind)?.plural ?? '';
    await elsewhere.change('DELETE', resourcePath({ plural, namespace, name }));
  });
}

async function everything(): Promise<JsonObject[]> {
  const lists = await Promise.all(crdKinds.map(({ plural }) => elsewhere.list(collectionPath(plural))));
  return lists.flatMap((items) => items ?? []);
}

/** What a reader sees, without what the server alone decides. */
async function contents(): Promise<string[]> {
  const texts = (await everything()).map(({ metadata, ...rest }) => {
    const { name, namespace, labels, annotations } = isObject(metadata) ? metadata : {};
    return printJson({ ...rest, metadata: { name, namespace, labels, annotations } });
  });
  return texts.sort();
}

async function request(options: Partial<ImportRequest> = {}, text = sample.file): Promise<ImportRequest> {
  const { inventory } = await rig.activities.inspectKubernetes(rig);
  const file = await rig.put('export.yaml', text);
  const how = { encoding: prefixed, existing: 'stop', writers: 16, maxWritesPerSecond: 0 } as const;
  return { scope: rig.scope, file, inventory, ...how, ...options };
}

test('everything of the file is there afterwards, as the model wants it', async () => {
  const result = await rig.activities.importCalico(await request());
  expect(result).toMatchObject({ objects: wanted.objects.length, conflictsTotal: 0 });
  expect(result.kinds.reduce((sum, { created }) => sum + created, 0)).toBe(wanted.objects.length);
  const live = await everything();
  const placeOf = ({ kind, metadata }: JsonObject): string => {
    const { name, namespace } = metadata as { name: string; namespace?: string };
    return `${kind as string} ${namespace ?? ''}/${name}`;
  };
  const found = new Map(live.map((object) => [placeOf(object), object]));
  for (const { kind, namespace, name, body } of wanted.objects) {
    const { spec } = body;
    // A member that is null in a list is a free address; elsewhere the sample has none.
    expect(found.get(`${kind} ${namespace ?? ''}/${name}`)).toMatchObject({ spec: isObject(spec) ? spec : {} });
  }
  expect(live).toHaveLength(wanted.objects.length);
});

test('the lock comes with the first object, and stays', async () => {
  const asked = await request();
  expect(await rig.activities.lockKubernetes({ scope: rig.scope, file: asked.file })).toMatchObject({ created: true });
  const { kinds } = await rig.activities.importCalico(asked);
  expect(kinds[0]).toMatchObject({ kind: 'ClusterInformation', wanted: 1, equal: 1, created: 0 });
  expect((await rig.activities.kubernetesLockState(rig)).state).toBe('locked');
});

test('run again it writes nothing', async () => {
  const asked = await request();
  await rig.activities.importCalico(asked);
  const before = await everything();
  const again = await rig.activities.importCalico(asked);
  expect(again.kinds.every(({ equal, wanted: all }) => equal === all)).toBe(true);
  expect(await everything()).toEqual(before);
});

test('cut off at any point and run again, it ends as if it had never been cut off', async () => {
  const asked = await request();
  await rig.activities.importCalico(asked);
  const whole = await contents();
  for (const part of [0.02, 0.3, 0.7]) {
    await removeEverything();
    const stop = new AbortController();
    const report = (progress: unknown): void => {
      if ((progress as ImportProgress).done > wanted.objects.length * part) stop.abort();
    };
    const cut = withOnlooker({ signal: stop.signal, report }, () => rig.activities.importCalico(asked));
    await expect(cut).rejects.toThrow();
    expect((await everything()).length).toBeLessThan(wanted.objects.length);
    const { kinds } = await rig.activities.importCalico(asked);
    expect(kinds.reduce((sum, { created, equal }) => sum + created + equal, 0)).toBe(wanted.objects.length);
    expect(await contents()).toEqual(whole);
  }
});

test('an apiserver that dies under it and comes back costs time only', async () => {
  const asked = await request();
  let killed: Promise<void> | undefined;
  const report = (progress: unknown): void => {
    if ((progress as ImportProgress).done < 50 || killed) return;
    rig.server.kill();
    killed = rig.server.restart();
  };
  const looking = { signal: new AbortController().signal, report };
  const { kinds } = await withOnlooker(looking, () => rig.activities.importCalico(asked));
  await killed;
  expect(killed).toBeDefined();
  expect(kinds.reduce((sum, { created, equal }) => sum + created + equal, 0)).toBe(wanted.objects.length);
  expect(await everything()).toHaveLength(wanted.objects.length);
});

describe('what is there already', () => {
  const name = wanted.objects.find(({ plural }) => plural === 'ippools')?.name ?? '';
  const theirs = custom('IPPool', name, { cidr: '192.168.0.0/16' });
  const path = `${pools}/${name}`;

  test('with another content stops the import before its first write, and is named', async () => {
    await rig.api.create(pools, theirs);
    await rig.api.create(pools, custom('IPPool', 'of-somebody', { cidr: '10.200.0.0/16' }));
    const before = await everything();
    const refused = await failureOf(rig.activities.importCalico(await request()));
    expect(refused).toMatchObject({ type: 'TargetConflict' });
    expect(refused.message).toContain(`1 objects are on the cluster already`);
    expect(refused.message).toContain(`IPPool ${name}: spec`);
    expect(await everything()).toEqual(before);
  });

  test('is replaced where the plan says so, keeps its finalizers, and is whole in the inventory', async () => {
    await rig.api.create(pools, {
      ...theirs,
      metadata: { ...(theirs.metadata as object), finalizers: ['example.com/x'] },
    });
    await rig.api.create(pools, custom('IPPool', 'of-somebody', { cidr: '10.200.0.0/16' }));
    const { kinds } = await rig.activities.importCalico(await request({ existing: 'replace' }));
    expect(kinds.find(({ kind }) => kind === 'IPPool')).toMatchObject({ replaced: 1, created: 3, conflicting: 0 });
    expect((await elsewhere.get(path))?.metadata).toMatchObject({ finalizers: ['example.com/x'] });
    expect((await elsewhere.get(path))?.spec).not.toMatchObject({ cidr: '192.168.0.0/16' });
    expect((await elsewhere.get(`${pools}/of-somebody`))?.spec).toEqual({ cidr: '10.200.0.0/16' });
    await elsewhere.change('PATCH', path, { metadata: { finalizers: null } }, 'application/merge-patch+json');
  });

  test('is not replaced when the inventory cannot put it back', async () => {
    const asked = await request({ existing: 'replace' });
    await rig.api.create(pools, theirs);
    const refused = await failureOf(rig.activities.importCalico(asked));
    expect(refused).toMatchObject({ type: 'TargetConflict' });
    expect(refused.message).toContain('made since the migration began');
    expect((await elsewhere.get(path))?.spec).toEqual({ cidr: '192.168.0.0/16' });
  });
});

test('a namespace that is missing or going away is named before the first write', async () => {
  const data = readExportFile(sample.file);
  for (const namespace of ['nowhere', 'leaving']) {
    data.resources.push({
      kind: 'NetworkSet',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name: 'set', namespace },
      spec: { nets: ['10.9.0.0/16'] },
    });
  }
  await rig.createNamespace('leaving');
  await rig.api.remove('/api/v1/namespaces/leaving');
  const refused = await failureOf(rig.activities.importCalico(await request({}, writeExportFile(data))));
  expect(refused).toMatchObject({ type: 'PreconditionFailed' });
  expect(refused.message).toContain(
    'are not there: nowhere (1 objects); and others are being deleted: leaving (1 objects)',
  );
  expect(await everything()).toEqual([]);
});

test('all objects of a stage that the server does not accept are named together', async () => {
  const data = readExportFile(sample.file);
  const bad = [1, 2, 3].map((index) => ({
    kind: 'Tier',
    apiVersion: 'projectcalico.org/v3',
    metadata: { name: `wrong-${index}` },
    spec: { order: 100 + index, defaultAction: 'Perhaps' },
  }));
  data.resources.push(...bad);
  const refused = await failureOf(rig.activities.importCalico(await request({}, writeExportFile(data))));
  expect(refused).toMatchObject({ type: 'PreconditionFailed' });
  expect(refused.message).toContain('does not accept 3 objects');
  for (const { metadata } of bad) expect(refused.message).toContain(`tiers ${metadata.name}`);
});

test('a file that is none is refused before the cluster is touched', async () => {
  const refused = await failureOf(rig.activities.importCalico(await request({}, 'null\n---\n===\n{}\n===\n{}\n')));
  expect(refused).toMatchObject({ type: 'PreconditionFailed' });
  expect(await everything()).toEqual([]);
});

test('the limit of writes holds for all writers together', async () => {
  const { objectsPerSecond } = await rig.activities.importCalico(await request({ maxWritesPerSecond: 100 }));
  expect(objectsPerSecond).toBeLessThanOrEqual(102);
});

test('progress never goes back, ends at the total and says when it will be there', async () => {
  const seen: ImportProgress[] = [];
  const report = (progress: unknown) => void seen.push(progress as ImportProgress);
  const looking = { signal: new AbortController().signal, report };
  const asked = await request();
  await withOnlooker(looking, () => rig.activities.importCalico(asked));
  expect(seen.at(-1)).toMatchObject({ done: wanted.objects.length, total: wanted.objects.length, etaMs: 0 });
  const done = seen.map((progress) => progress.done);
  expect(done).toEqual([...done].sort((left, right) => left - right));
});
