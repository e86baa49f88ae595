import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import { failureType } from '../../../activities/errors';
import { printJson } from '../../../activities/calico/json';
import { isConflict } from '../../../activities/calico/kubernetes/answers';
import { KubernetesConnections } from '../../../activities/calico/kubernetes/connection';
import { collectionPath, resourcePath } from '../../../activities/calico/kubernetes/paths';
import type { CalicoTarget } from '../../../plan/calico';
import { Cluster } from '../../../examples/calico/cluster';
import { custom, KubeRig } from '../../fixtures/kube-rig';
import { failureOf } from '../../fixtures/failure-of';

const pools = collectionPath('ippools');
const secret = 'token-that-nobody-may-ever-see';

let rig: KubeRig;
let elsewhere: Cluster;

beforeAll(async () => {
  rig = await KubeRig.start({ tokens: [{ name: 'visitor' }] });
  elsewhere = new Cluster(rig.server.kubeconfig());
  await rig.installCrds();
});

afterAll(async () => {
  elsewhere.close();
  await rig.stop();
});

function connect(environment: NodeJS.ProcessEnv, context?: string) {
  const target: CalicoTarget = { kubeconfig: { env: 'CLUSTER' }, context };
  return new KubernetesConnections(environment).connect(target);
}

describe('the kubeconfig', () => {
  test('is taken from a file, from a list of files as KUBECONFIG has it, and as text', async () => {
    const { kubeconfigPath } = rig.server;
    const missing = join(rig.server.folder, 'not-there');
    for (const content of [kubeconfigPath, `${missing}:${kubeconfigPath}`, rig.server.kubeconfig()]) {
      const api = await connect({ CLUSTER: content });
      expect(await api.get('/api/v1/namespaces/default')).toMatchObject({ kind: 'Namespace' });
      expect(api.server).toBe(rig.server.url);
    }
  });

  test('that lacks the context of the plan is refused, naming those that it has', async () => {
    const refused = await failureOf(connect({ CLUSTER: rig.server.kubeconfig() }, 'prod'));
    expect(refused).toMatchObject({ type: 'PreconditionFailed' });
    expect(refused.message).toContain('has no context "prod", but cutover');
  });

  test('that is no YAML is refused without a word of its text', async () => {
    const refused = await failureOf(connect({ CLUSTER: `users: [{token: ${secret}\n- x` }));
    expect(refused).toMatchObject({ type: 'PreconditionFailed' });
    expect(refused.message).not.toContain(secret);
  });

  test.each([
    ['in base64', (text: string) => Buffer.from(text).toString('base64')],
    ['of which only the token was given', () => `${secret}.${secret}.${secret}`],
  ])('%s is refused without a word of its text', async (_, disguised) => {
    const content = disguised(rig.server.kubeconfig());
    const refused = await failureOf(connect({ CLUSTER: content }));
    expect(refused).toMatchObject({ type: 'PreconditionFailed' });
    expect(refused.message).toMatch(/neither a kubeconfig nor a list of paths/);
    expect(refused.message).not.toContain(content.slice(0, 20));
  });

  test('with a token that the server does not know fails at once, without showing it', async () => {
    const good = rig.server.kubeconfig();
    const known = /token: "?(\S+?)"?\n/.exec(good)?.[1] ?? '';
    expect(known).not.toBe('');
    const api = await connect({ CLUSTER: good.replace(known, secret) });
    const refused = await failureOf(api.get('/api/v1/namespaces/default'));
    expect(refused).toMatchObject({ type: 'AuthDenied' });
    expect(refused.message).not.toContain(secret);
  });

  test('whose token was renewed in the meantime is read again', async () => {
    const file = join(rig.server.folder, 'renewed');
    const good = rig.server.kubeconfig();
    const known = /token: "?(\S+?)"?\n/.exec(good)?.[1] ?? '';
    await writeFile(file, good.replace(known, 'expired'));
    const api = await new KubernetesConnections({}).connect({ kubeconfig: { file } });
    await writeFile(file, good);
    expect(await api.get('/api/v1/namespaces/default')).toBeDefined();
  });

  test('of another authority is refused at once: no retry mends a certificate', async () => {
    const config = parseDocument(rig.server.kubeconfig());
    config.deleteIn(['clusters', 0, 'cluster', 'certificate-authority-data']);
    const api = await connect({ CLUSTER: config.toString() });
    const refused = await failureOf(api.get('/api/v1/namespaces/default'));
    expect(refused).toMatchObject({ type: 'PreconditionFailed' });
    expect(refused.message).toContain('No trusted connection');
  });
});

describe('what is written and read', () => {
  test('keeps every digit of 64-bit numbers, both ways', async () => {
    const spec = {
      cidr: '10.0.0.0/30',
      allocations: [null, 0, null, null],
      unallocated: [0, 2, 3],
      attributes: [{ handle_id: 'h' }],
      strictAffinity: false,
      sequenceNumber: 1795244676171828089n,
      sequenceNumberForAllocation: { '1': 9223372036854775807n },
    };
    await rig.api.create(collectionPath('ipamblocks'), custom('IPAMBlock', '10-0-0-0-30', spec));
    const path = resourcePath({ plural: 'ipamblocks', name: '10-0-0-0-30' });
    expect((await rig.api.get(path))?.spec).toMatchObject(spec);
    expect((await elsewhere.get(path))?.spec).toMatchObject(spec);
    await rig.api.patch(path, 'merge', { spec: { sequenceNumber: 1795244676171828090n } });
    expect((await elsewhere.get(path))?.spec).toMatchObject({ ...spec, sequenceNumber: 1795244676171828090n });
  });

  test('is listed whole, whatever the size of a page, and of all namespaces', async () => {
    for (const namespace of ['one', 'two']) await rig.createNamespace(namespace);
    for (let index = 0; index < 7; index += 1) {
      const namespace = index % 2 ? 'one' : 'two';
      await rig.api.create(
        collectionPath('networksets', namespace),
        custom('NetworkSet', `set-${index}`, { nets: [] }, namespace),
      );
    }
    for (const limit of [1, 3, 500]) {
      const names: unknown[] = [];
      for await (const item of rig.api.list(collectionPath('networksets'), { limit })) {
        names.push((item.metadata as { name: string }).name);
      }
      expect(names.sort()).toEqual(Array.from({ length: 7 }, (_, index) => `set-${index}`));
    }
  });

  test('a create tells a new object from one that is there', async () => {
    const body = custom('IPPool', 'twice', { cidr: '10.1.0.0/16' });
    expect(await rig.api.create(pools, body)).toBe('created');
    expect(await rig.api.create(pools, body)).toBe('exists');
  });

  test('a write on an object that somebody has changed meanwhile is a conflict, and changes nothing', async () => {
    await rig.api.create(pools, custom('IPPool', 'contested', { cidr: '10.2.0.0/16' }));
    const path = `${pools}/contested`;
    const read = await rig.api.get(path);
    await elsewhere.change('PATCH', path, { spec: { disabled: true } }, 'application/merge-patch+json');
    const late = rig.api.replace(path, { ...read, spec: { cidr: '10.3.0.0/16' } });
    expect(isConflict(await failureOf(late))).toBe(true);
    expect((await elsewhere.get(path))?.spec).toEqual({ cidr: '10.2.0.0/16', disabled: true });
  });

  test('an object is removed only while it is the one that was meant', async () => {
    await rig.api.create(pools, custom('IPPool', 'doomed', { cidr: '10.4.0.0/16' }));
    const path = `${pools}/doomed`;
    const other = rig.api.remove(path, { uid: '00000000-0000-4000-8000-000000000000' });
    expect(isConflict(await failureOf(other))).toBe(true);
    expect(await rig.api.remove(path)).toBe('removed');
    expect(await rig.api.remove(path)).toBe('absent');
  });
});

describe('what the server refuses', () => {
  test('is named with object and field', async () => {
    const refused = await failureOf(
      rig.api.create(collectionPath('ipamhandles'), custom('IPAMHandle', 'h', { handleID: 'h' })),
    );
    expect(refused).toMatchObject({ type: 'PreconditionFailed' });
    expect(refused.message).toMatch(/refused to create ipamhandles h: .*spec\.block.*Required/);
  });

  test('for want of rights is named with verb and resource', async () => {
    const api = await connect({ CLUSTER: rig.server.kubeconfig('visitor') });
    const refused = await failureOf(api.create(pools, custom('IPPool', 'x', { cidr: '10.5.0.0/16' })));
    expect(refused).toMatchObject({ type: 'AuthDenied' });
    expect(refused.message).toContain('Allow our user to create ippools by a ClusterRole');
  });

  test('because a namespace is missing is named with the namespace', async () => {
    const inNowhere = rig.api.create(
      collectionPath('networksets', 'nowhere'),
      custom('NetworkSet', 's', { nets: [] }, 'nowhere'),
    );
    expect((await failureOf(inNowhere)).message).toContain('the namespace nowhere is not there');
  });

  test('because the kind is not served says so, and lists as nothing where that is wanted', async () => {
    const path = collectionPath('unheardofs');
    expect((await failureOf(rig.api.create(path, custom('Unheardof', 'x', {})))).message).toContain(
      'does not serve this kind',
    );
    for await (const item of rig.api.list(path, { notServed: 'empty' })) throw new Error(printJson(item));
    expect(await rig.api.get(`${path}/x`)).toBeUndefined();
    expect(failureType(await failureOf(rig.api.list(path).next()))).toBe('PreconditionFailed');
  });
});

test('an outage of some seconds is waited for', async () => {
  rig.server.kill();
  const asked = rig.api.get('/api/v1/namespaces/default');
  await rig.server.restart();
  expect(await asked).toMatchObject({ kind: 'Namespace' });
  expect(rig.api.counters.retried).toBeGreaterThan(0);
});
