// `cutover calico …` as a person types it, against a real etcd and a real kube-apiserver: one step at a time, each with its exit code.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Etcd3 } from 'etcd3';
import { run } from '../../client/cli';
import type { ExitCode } from '../../client/context';
import { Cluster } from '../../examples/calico/cluster';
import { exampleManifests } from '../../examples/calico/manifests';
import { writeSampleDatastore } from '../../examples/calico/sample-datastore';
import { seedCluster } from '../../examples/calico/seed-cluster';
import type { CalicoAccounting, KindImport, ValidationRecord } from '../../journal/types';
import { startCalicoServers, type CalicoServers } from '../fixtures/calico-servers';

/** What the commands print with --json, as far as it is looked at. */
interface Printed {
  objects: number;
  accounting: CalicoAccounting;
  kinds: KindImport[];
  nodes: { nodes: number };
  records: ValidationRecord[];
}

let servers: CalicoServers;
let etcd: Etcd3;
let folder: string;
let plan: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cutover-calico-'));
  servers = await startCalicoServers();
  etcd = new Etcd3({ hosts: servers.etcd.endpoint });
  const cluster = new Cluster(servers.kubernetes.kubeconfig());
  await seedCluster(cluster, await writeSampleDatastore(etcd, { handles: 40, policies: 20, nodes: 3 }));
  cluster.close();
  plan = join(folder, 'plan.json');
  const { kubernetes, etcd: etcdManifest } = exampleManifests;
  writeFileSync(
    plan,
    JSON.stringify({
      name: 'by-hand',
      source: { endpoints: [servers.etcd.endpoint] },
      target: { kubeconfig: { env: 'KUBECONFIG' } },
      manifests: { kubernetes, etcd: etcdManifest },
    }),
  );
});

afterAll(async () => {
  etcd.close();
  await servers.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function calico(...argv: string[]): Promise<{ code: ExitCode; out: string; error: string }> {
  let out = '';
  let error = '';
  const code = await run(['calico', ...argv], {
    out: (text) => void (out += text),
    error: (text) => void (error += text),
    environment: {
      KUBECONFIG: servers.kubernetes.kubeconfigPath,
      CUTOVER_ARTIFACTS: pathToFileURL(join(folder, 'artifacts')).href,
    },
    isTTY: false,
    columns: () => 80,
    rows: () => 24,
    interrupted: new AbortController().signal,
  });
  return { code, out, error };
}

function printed(text: string): Printed {
  return JSON.parse(text) as Printed;
}

const clusterInformation = '/calico/resources/v3/projectcalico.org/clusterinformations/default';
const isReady = async (): Promise<boolean> =>
  /"datastoreReady":true/.test((await etcd.get(clusterInformation).string()) ?? '');

describe('a migration by single commands', () => {
  const data = (): string => join(folder, 'etcd-data');

  it('is refused an export of a datastore that is not locked, unless it is only to be looked at', async () => {
    const refused = await calico('export', plan, '--output', data());
    expect(refused.code).toBe(2);
    expect(refused.error).toContain('The etcd datastore is ready, not locked');
    const looked = await calico('export', plan, '--output', join(folder, 'copy'), '--unlocked', '--json');
    expect(looked.code).toBe(0);
    expect(JSON.parse(looked.out)).toMatchObject({ locked: false });
  });

  it('goes from the lock of etcd to the unlock of Kubernetes, and every step can be run again', async () => {
    expect(await isReady()).toBe(true);
    expect((await calico('lock', plan, '--side', 'source')).out).toContain('is locked; it was ready');
    expect(await isReady()).toBe(false);

    const exported = await calico('export', plan, '--output', data(), '--json');
    const { objects, accounting } = printed(exported.out);
    const sums = accounting.kinds.map(({ migrated, derived, refused }) => migrated + derived + refused);
    expect(sums).toEqual(accounting.kinds.map(({ source }) => source));
    expect(readFileSync(data(), 'utf8').split('===\n')).toHaveLength(3);

    const before = await calico('diff', plan);
    expect(before.code).toBe(1);
    expect(before.out).toContain('IPPool default-ipv4-ippool: not there');

    const first = printed((await calico('import', plan, '--file', data(), '--json')).out);
    const again = printed((await calico('import', plan, '--file', data(), '--json')).out);
    const sum = (kinds: KindImport[], field: 'wanted' | 'created' | 'equal'): number =>
      kinds.reduce((total, kind) => total + kind[field], 0);
    // The cluster information was made by the lock, before the import counts.
    expect(sum(first.kinds, 'created')).toBe(sum(first.kinds, 'wanted') - 1);
    expect(sum(again.kinds, 'equal')).toBe(sum(again.kinds, 'wanted'));
    expect(first.objects + first.nodes.nodes).toBe(objects);

    expect((await calico('diff', plan)).code).toBe(0);
    expect((await calico('verify', plan)).code).toBe(0);
    const verified = await calico('verify', plan, '--file', data());
    expect(verified.code).toBe(0);
    expect(verified.out).toMatch(/All \d+ comparisons passed/);
    expect((await calico('unlock', plan, '--side', 'target')).out).toContain('is unlocked; it was locked');
  });

  it('finds with diff what was changed on either side since', async () => {
    const key = '/calico/resources/v3/projectcalico.org/ippools/default-ipv4-ippool';
    const former = (await etcd.get(key).string()) ?? '';
    await etcd.put(key).value(former.replace('"natOutgoing":true', '"natOutgoing":false'));
    const { code, out } = await calico('diff', plan, '--json');
    await etcd.put(key).value(former);
    expect(code).toBe(1);
    const differing = printed(out).records.filter(({ outcome }) => outcome === 'fail');
    expect(differing).toHaveLength(1);
    expect(differing[0]?.differences?.join()).toContain('natOutgoing');
  });

  it('takes a snapshot that restores key for key, and touches nothing when only asked what it would do', async () => {
    const file = join(folder, 'etcd.jsonl');
    expect((await calico('snapshot', plan, '--output', file)).code).toBe(0);
    const before = await etcd.getAll().prefix('/calico/').strings();
    await etcd.delete().key('/calico/ipam/v2/config');
    await etcd.put('/calico/resources/v3/projectcalico.org/ippools/stray').value('{}');
    const asked = await calico('restore', plan, '--file', file, '--dry-run', '--json');
    expect(JSON.parse(asked.out)).toMatchObject({ written: 1, deleted: 1, dryRun: true });
    expect(await etcd.get('/calico/ipam/v2/config').exists()).toBe(false);
    expect((await calico('restore', plan, '--file', file)).code).toBe(0);
    expect(await etcd.getAll().prefix('/calico/').strings()).toEqual(before);
  });

  it('says so when a definition has dropped a field that was imported', async () => {
    const key = '/calico/resources/v3/projectcalico.org/globalnetworksets/corporate';
    const former = (await etcd.get(key).string()) ?? '';
    const name = '/calico/resources/v3/projectcalico.org/globalnetworksets/ahead';
    const ahead = former.replaceAll('corporate', 'ahead').replace('"spec":{', '"spec":{"fromTheFuture":true,');
    await etcd.put(name).value(ahead);
    await calico('export', plan, '--output', data(), '--unlocked');
    await etcd.delete().key(name);
    const { code, out } = await calico('import', plan, '--file', data());
    expect(code).toBe(1);
    expect(out).toContain('GlobalNetworkSet was read back different:');
    expect(out).toContain('fromTheFuture');
  });

  it('ends with exit code 2 and a reason where the call is wrong', async () => {
    const wrong = await calico('lock', plan, '--side', 'nowhere');
    expect(wrong.code).toBe(2);
    expect(wrong.error).toContain('expected "source" (etcd) or "target"');
    const missing = await calico('import', plan, '--file', join(folder, 'no-such-file'));
    expect(missing.code).toBe(2);
    expect(missing.error).toContain('cannot be read');
    const other = join(folder, 'postgres.json');
    writeFileSync(other, JSON.stringify({ name: 'x', source: { env: 'A' }, target: { env: 'B' } }));
    const mistaken = await calico('diff', other);
    expect(mistaken.code).toBe(2);
    expect(mistaken.error).toContain('PostgreSQL plan');
    const broken = join(folder, 'broken');
    writeFileSync(broken, 'null\n---\n===\n{}\n===\n{}\n');
    const unreadable = await calico('import', plan, '--file', broken);
    expect(unreadable.code).toBe(1);
    expect(unreadable.error).toContain('cannot be read');
  });
});
