import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdConnections } from '../../../activities/calico/etcd/connection';
import { failureType } from '../../../activities/errors';
import type { CalicoSource } from '../../../plan/calico';
import { freePort } from '../../../local/ports';
import { clusterInformationText, EtcdRig, failureOf } from '../../fixtures/etcd-rig';
import { until } from '../../fixtures/until';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cutover-etcd-tls-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const key = (prefix: string): string => `${prefix}/resources/v3/projectcalico.org/clusterinformations/default`;

describe('over TLS', () => {
  let rig: EtcdRig;
  let endpoint: string;
  const environment: NodeJS.ProcessEnv = {};

  /** A certificate authority, and a certificate of it for `name`. */
  async function certificates(authority: string, name: string): Promise<void> {
    const file = (suffix: string): string => join(folder, `${authority}${suffix}`);
    const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' });
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      file('.ca.key'),
      '-out',
      file('.ca.pem'),
      '-days',
      '2',
      '-subj',
      `/CN=${authority}`,
    );
    openssl('req', ...key, '-keyout', file('.key'), '-out', file('.csr'), '-subj', `/CN=${name}`);
    await writeFile(file('.ext'), 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth');
    openssl(
      ...['x509', '-req', '-in', file('.csr'), '-CA', file('.ca.pem'), '-CAkey', file('.ca.key'), '-CAcreateserial'],
      ...['-days', '2', '-extfile', file('.ext'), '-out', file('.pem')],
    );
    environment[`${authority}_CA`] = await readFile(file('.ca.pem'), 'utf8');
    environment[`${authority}_CERT`] = await readFile(file('.pem'), 'utf8');
    environment[`${authority}_KEY`] = await readFile(file('.key'), 'utf8');
  }

  beforeAll(async () => {
    await certificates('OURS', 'etcd');
    await certificates('OTHER', 'somebody');
    const [plain, secure] = [await freePort(), await freePort()];
    const file = (name: string): string => join(folder, name);
    endpoint = `https://127.0.0.1:${secure}`;
    rig = await EtcdRig.start(environment, {
      port: plain,
      extraArguments: [
        ...['--listen-client-urls', `http://127.0.0.1:${plain},${endpoint}`, '--client-cert-auth'],
        ...['--cert-file', file('OURS.pem'), '--key-file', file('OURS.key'), '--trusted-ca-file', file('OURS.ca.pem')],
      ],
    });
  });
  afterAll(() => rig.stop());

  const tls = (authority: string, client?: string): CalicoSource['tls'] => ({
    ca: { env: `${authority}_CA` },
    ...(client ? { cert: { env: `${client}_CERT` }, key: { env: `${client}_KEY` } } : {}),
  });

  it('reads and locks with a client certificate', async () => {
    const { scope } = await rig.initialised(true);
    scope.source.endpoints = [endpoint];
    scope.source.tls = tls('OURS', 'OURS');
    expect((await rig.activities.lockEtcd({ scope })).before).toBe('ready');
    expect((await rig.activities.takeEtcdSnapshot({ scope, name: 'etcd.jsonl' })).keys).toBe(1);
  });

  it.each([
    [
      'a CA that did not sign the server',
      () => tls('OTHER', 'OURS'),
      'PreconditionFailed',
      /not trusted\. Correct "ca"/,
    ],
    [
      'no CA, so that of the system',
      () => ({ ...tls('OURS', 'OURS'), ca: undefined }),
      'PreconditionFailed',
      /Correct "ca"/,
    ],
    ['no client certificate', () => tls('OURS'), 'AuthDenied', /Give "cert" and "key"/],
    ['a client certificate of another CA', () => tls('OURS', 'OTHER'), 'AuthDenied', /Give "cert" and "key"/],
    [
      'a key that belongs to another certificate',
      () => ({ ...tls('OURS', 'OURS'), key: { env: 'OTHER_KEY' } }),
      'PreconditionFailed',
      /certificates for etcd cannot be used/,
    ],
    [
      'a CA that is no PEM',
      () => ({ ...tls('OURS', 'OURS'), ca: { env: 'JUNK' } }),
      'PreconditionFailed',
      /cannot be used|Correct "ca"/,
    ],
    [
      'a reference without a secret',
      () => ({ ca: { env: 'NOT_SET' } }),
      'PreconditionFailed',
      /env NOT_SET is not set/,
    ],
  ])('tells %s, and shows no secret', async (_, wrong, type, words) => {
    environment.JUNK = 'no PEM at all';
    const { scope } = await rig.initialised(true);
    scope.source.endpoints = [endpoint];
    scope.source.tls = wrong();
    const error = await failureOf(rig.activities.etcdLockState({ scope }));
    expect([failureType(error), error.message]).toEqual([type, expect.stringMatching(words)]);
    expect(error.message).not.toMatch(/PRIVATE KEY|BEGIN|no PEM at all/);
  });

  it('names an endpoint that speaks no TLS, and asks whether the plan has the right scheme', async () => {
    const { scope } = await rig.initialised(true);
    scope.source.endpoints = [rig.server.endpoint.replace('http:', 'https:')];
    scope.source.tls = tls('OURS', 'OURS');
    // It only hangs up, as a server that is about to end does: so it is tried again, with a word on what else it may be.
    const error = await failureOf(rig.activities.etcdLockState({ scope }));
    expect(error.message).toContain(scope.source.endpoints[0]);
    expect([failureType(error), error.message]).toEqual([
      'SourceUnavailable',
      expect.stringMatching(/http or https as its members do\.$/),
    ]);
  });

  it('refuses endpoints that mix http and https', async () => {
    const { scope } = await rig.initialised(true);
    scope.source.endpoints = [endpoint, rig.server.endpoint];
    expect((await failureOf(rig.activities.etcdLockState({ scope }))).message).toMatch(/mix http and https/);
  });
});

describe("with etcd's own users", () => {
  let rig: EtcdRig;
  const environment: NodeJS.ProcessEnv = { RIGHT: 'right-secret', WRONG: 'wrong-secret' };
  beforeAll(async () => {
    rig = await EtcdRig.start(environment);
    const { raw } = rig;
    await raw.put(key('/calico')).value(clusterInformationText(true));
    await raw.put(key('/other')).value(clusterInformationText(true));
    const root = raw.user('root');
    await root.create('root-secret');
    await raw.role('root').create();
    await root.addRole('root');
    for (const [name, permission] of [
      ['mover', 'Readwrite'],
      ['reader', 'Read'],
    ] as const) {
      await raw.role(name).create();
      await raw.auth.roleGrantPermission({
        name,
        perm: { permType: permission, key: Buffer.from('/calico/'), range_end: Buffer.from('/calico0') },
      });
      await raw.user(name).create('right-secret');
      await raw.user(name).addRole(name);
    }
    await raw.auth.authEnable();
  });
  afterAll(() => rig.stop());

  const scopeOf = (username?: string, password = 'RIGHT', prefix = '/calico') =>
    rig.scope({ prefix, auth: username === undefined ? undefined : { username, password: { env: password } } });

  it('does everything with a user who may read and write below the prefix, and nothing else', async () => {
    const scope = scopeOf('mover');
    expect((await rig.activities.lockEtcd({ scope })).before).toBe('ready');
    const snapshot = await rig.activities.takeEtcdSnapshot({ scope, name: 'etcd.jsonl' });
    await rig.activities.verifyEtcdSnapshot({ scope, snapshot });
    await rig.activities.unlockEtcd({ scope, to: 'ready' });
    expect((await rig.activities.findEtcdDrift({ scope, snapshot })).total).toBe(1);
    await rig.activities.lockEtcd({ scope });
    expect((await rig.activities.restoreEtcdSnapshot({ scope, artifact: snapshot.artifact })).equal).toBe(1);
    await rig.activities.unlockEtcd({ scope, to: 'ready' });
  });

  it.each([
    ['a wrong password', 'mover', 'WRONG', '/calico', /name or password of the user "mover"/],
    ['a user that is not there', 'nobody', 'RIGHT', '/calico', /name or password of the user "nobody"/],
    ['no user', undefined, 'RIGHT', '/calico', /Add "auth" to the source/],
    ['a user without rights on the prefix', 'mover', 'RIGHT', '/other', /Reading \/other\/.* the user "mover"/],
  ])('tells %s, and shows no password', async (_, username, password, prefix, words) => {
    const error = await failureOf(rig.activities.etcdLockState({ scope: scopeOf(username, password, prefix) }));
    expect([failureType(error), error.message]).toEqual(['AuthDenied', expect.stringMatching(words)]);
    expect(error.message).not.toMatch(/right-secret|wrong-secret/);
  });

  it('tells a user who may read but not write when it comes to writing', async () => {
    const scope = scopeOf('reader');
    expect((await rig.activities.etcdLockState({ scope })).state).toBe('ready');
    const error = await failureOf(rig.activities.lockEtcd({ scope }));
    expect([failureType(error), error.message]).toEqual([
      'AuthDenied',
      expect.stringMatching(/^Writing \/calico\/.*the user "reader"\. Grant a role/),
    ]);
  });

  it('finds that out without writing anything', async () => {
    const connections = new EtcdConnections(environment);
    const trying = (username: string) =>
      connections.with(scopeOf(username).source, async (etcd) => {
        const before = await etcd.revision();
        const error = await etcd.requireWritable(key('/calico')).catch((thrown: unknown) => thrown);
        expect(await etcd.revision()).toBe(before);
        return error;
      });
    expect(await trying('mover')).toBeUndefined();
    expect(failureType(await trying('reader'))).toBe('AuthDenied');
  });

  it('tells a user in the plan of an etcd without authentication', async () => {
    const open = await EtcdRig.start(environment);
    try {
      const scope = open.scope({ auth: { username: 'mover', password: { env: 'RIGHT' } } });
      const error = await failureOf(open.activities.etcdLockState({ scope }));
      expect([failureType(error), error.message]).toEqual([
        'PreconditionFailed',
        expect.stringMatching(/Remove "auth"/),
      ]);
    } finally {
      await open.stop();
    }
  });
});

describe('with trouble on the way', () => {
  let rig: EtcdRig;
  beforeAll(async () => {
    rig = await EtcdRig.start();
  });
  afterAll(() => rig.stop());

  it('calls a server that is down unavailable, to be tried again, and names it', async () => {
    const dead = `http://127.0.0.1:${await freePort()}`;
    const error = await failureOf(rig.activities.etcdLockState({ scope: rig.scope({ endpoints: [dead] }) }));
    expect([failureType(error), error.message]).toEqual(['SourceUnavailable', expect.stringContaining(dead)]);
  });

  it('works with a list in which one member is dead, every time', async () => {
    const dead = `http://127.0.0.1:${await freePort()}`;
    const { scope } = await rig.initialised(true);
    scope.source.endpoints = [dead, rig.server.endpoint];
    for (let round = 0; round < 10; round += 1) {
      expect((await rig.activities.etcdLockState({ scope })).state).toBe('ready');
    }
    expect((await rig.activities.lockEtcd({ scope })).before).toBe('ready');
  });

  it('asks for a page again, at the same revision, when the connection is cut in the middle', async () => {
    const { scope, prefix } = await rig.initialised(true);
    await rig.fill(Array.from({ length: 1_000 }, (_, n): [string, string] => [`${prefix}/k/${n}`, 'x'.repeat(2_000)]));
    const proxy = await cuttingProxy(rig.server.port);
    try {
      scope.source.endpoints = [`http://127.0.0.1:${proxy.port}`];
      let cuts = 0;
      const activities = rig.interrupting(() => {
        cuts = proxy.cut();
        return Promise.resolve();
      });
      const snapshot = await activities.takeEtcdSnapshot({ scope, name: 'etcd.jsonl' });
      expect(cuts).toBeGreaterThan(0);
      expect(snapshot.keys).toBe(1_001);
      await rig.activities.verifyEtcdSnapshot({ scope, snapshot });
    } finally {
      await proxy.close();
    }
  });

  it('counts a lock whose answer was lost as its own', async () => {
    const { scope, key: information } = await rig.initialised(true);
    const proxy = await cuttingProxy(rig.server.port);
    try {
      scope.source.endpoints = [`http://127.0.0.1:${proxy.port}`];
      // The write arrives, and the connection ends before anybody hears of it.
      proxy.swallowAnswer('"datastoreReady":false', () => untilLocked(information));
      expect((await rig.activities.lockEtcd({ scope })).before).toBe('ready');
      expect(proxy.swallowed()).toBe(1);
      expect((await rig.activities.etcdLockState({ scope })).state).toBe('locked');
    } finally {
      await proxy.close();
    }
  });

  async function untilLocked(information: string): Promise<void> {
    await until(
      'the lock is in etcd',
      async () => (await rig.raw.get(information).string()) === clusterInformationText(false),
    );
  }

  it('closes its connections', async () => {
    const proxy = await cuttingProxy(rig.server.port);
    try {
      const { scope } = await rig.initialised(true);
      scope.source.endpoints = [`http://127.0.0.1:${proxy.port}`];
      for (let round = 0; round < 5; round += 1) await rig.activities.etcdLockState({ scope });
      await until('no connection is open', () => proxy.open() === 0);
    } finally {
      await proxy.close();
    }
  });

  it('knows the version of etcd', async () => {
    const { scope } = await rig.initialised(true);
    const version = await new EtcdConnections({}).with(scope.source, (etcd) => etcd.version());
    expect(version).toMatch(/^3\.\d+\.\d+/);
  });
});

/** TCP between us and etcd, that can be cut. */
async function cuttingProxy(target: number) {
  const sockets = new Set<Socket>();
  let marker: string | undefined;
  let before: () => Promise<void> = () => Promise.resolve();
  let swallowed = 0;
  const server: Server = createServer((socket) => {
    const upstream = connect(target, '127.0.0.1');
    sockets.add(socket);
    let mute = false;
    const end = (): void => {
      sockets.delete(socket);
      socket.destroy();
      upstream.destroy();
    };
    for (const side of [socket, upstream]) side.on('error', end).on('close', end);
    socket.on('data', (data: Buffer) => {
      if (marker !== undefined && swallowed === 0 && data.includes(marker)) {
        swallowed += 1;
        mute = true;
        void before().finally(end);
      }
      upstream.write(data);
    });
    upstream.on('data', (data: Buffer) => {
      if (!mute) socket.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return {
    port,
    open: () => sockets.size,
    cut: () => {
      const { size } = sockets;
      for (const socket of sockets) socket.destroy();
      return size;
    },
    /** Of the first request with that text the answer never arrives; the connection ends when `first` is done. */
    swallowAnswer: (text: string, first: () => Promise<void>) => {
      marker = text;
      before = first;
    },
    swallowed: () => swallowed,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
