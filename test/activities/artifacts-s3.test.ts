import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { MockActivityEnvironment } from '@temporalio/testing';
import { artifactStoreFor } from '../../activities/artifacts';
import type { ArtifactStore } from '../../activities/artifacts/store';
import { failureType } from '../../activities/errors';
import { withHeartbeat } from '../../activities/heartbeat';
import { createReportActivities } from '../../activities/report/write';
import { describeAws, pretendCredentials, s3Error, startAws, type AwsRig } from '../fixtures/aws-rig';
import { completedJournal } from '../fixtures/journal';
import { until } from '../fixtures/until';

const migration = 'orders-to-18';
const mebibyte = 1 << 20;

describeAws('the S3 store, on moto', () => {
  let aws: AwsRig;
  let admin: S3Client;
  let temporary: string;

  beforeAll(async () => {
    aws = await startAws();
    admin = new S3Client({ endpoint: aws.moto.endpoint, forcePathStyle: true, region: 'us-east-1' });
  });
  beforeEach(async () => {
    await fetch(`${aws.moto.endpoint}/moto-api/reset`, { method: 'POST' });
    await admin.send(new CreateBucketCommand({ Bucket: 'backups' }));
    temporary = await mkdtemp(join(tmpdir(), 'cutover-s3-test-'));
  });
  afterEach(async () => {
    aws.open();
    pretendCredentials();
    await rm(temporary, { recursive: true, force: true });
  });
  afterAll(async () => {
    admin.destroy();
    await aws.stop();
  });

  const store = (url = 's3://backups/cutover', endpoint = aws.endpoint): ArtifactStore =>
    artifactStoreFor(url, { CUTOVER_S3_ENDPOINT: endpoint, AWS_REGION: 'us-east-1', TMPDIR: temporary });
  const typeOf = (work: Promise<unknown>) => work.then(() => 'no failure', failureType);
  const keys = async (): Promise<string[]> => {
    const { Contents = [] } = await admin.send(new ListObjectsV2Command({ Bucket: 'backups' }));
    return Contents.map(({ Key = '' }) => Key);
  };
  const unfinished = async (): Promise<number> =>
    (await admin.send(new ListMultipartUploadsCommand({ Bucket: 'backups' }))).Uploads?.length ?? 0;
  /** What the store has on the worker's disk. */
  const copies = (): string[] => readdirSync(temporary).flatMap((folder) => readdirSync(join(temporary, folder)));

  it('gives back what was stored, by text, buffer, stream and by a tool that writes the file itself', async () => {
    const s3 = store();
    const tool = (path: string) => writeFile(path, 'content');
    const stored = [];
    for (const content of ['content', Buffer.from('content'), Readable.from(['con', 'tent']), tool])
      stored.push(await s3.put(migration, 'a file.txt', content));
    expect(new Set(stored.map(({ url }) => url)).size).toBe(1);
    expect(stored[0]).toMatchObject({
      bytes: 7,
      name: 'a file.txt',
      sha256: 'ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73',
    });
    expect(stored[0]!.url).toMatch(/^s3:\/\/backups\/cutover\/orders-to-18\/ed\/ed7002b4.*-a-file\.txt~/);
    expect(await keys()).toHaveLength(1);
    expect(await store().read(stored[0]!)).toBe('content');
    expect(copies()).toEqual([]);
    expect((await store('s3://backups').put('../../etc', '../x', '')).url).toMatch(/^s3:\/\/backups\/etc~/);
  });

  it('sends a large file in parts of bounded size, and brings it back as it was', async () => {
    const content = randomBytes(34 * mebibyte);
    const sizes: number[] = [];
    aws.before = ({ method, bytes }) => {
      if (method === 'PUT') sizes.push(bytes);
      return undefined;
    };
    const s3 = store();
    const reference = await s3.put(migration, 'orders.dump', (path) => writeFile(path, content));
    expect(sizes.sort((left, right) => left - right)).toEqual([2 * mebibyte, 16 * mebibyte, 16 * mebibyte]);
    expect(copies()).toEqual([]);
    const [path, again] = await Promise.all([s3.fetch(reference), s3.fetch(reference)]);
    expect(again).toBe(path);
    expect((await readFile(path)).equals(content)).toBe(true);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await s3.release?.(reference);
    expect(existsSync(path)).toBe(true);
    await s3.release?.(reference);
    expect(copies()).toEqual([]);
    expect(await unfinished()).toBe(0);
  });

  it('leaves no artifact, no unfinished upload and no file when it is cancelled in the middle of one', async () => {
    let parts = 0;
    aws.before = async ({ url }) => {
      if (url.includes('partNumber') && ++parts > 1) await new Promise(() => undefined);
      return undefined;
    };
    const environment = new MockActivityEnvironment();
    const content = randomBytes(34 * mebibyte);
    const s3 = store();
    const putting = environment.run(() =>
      withHeartbeat('dumping', () => s3.put(migration, 'orders.dump', (path) => writeFile(path, content))),
    );
    await until('the second part is being sent', () => parts > 1);
    expect(await unfinished()).toBe(1);
    environment.cancel('CANCELLED');
    await expect(putting).rejects.toThrow();
    await until('the upload is taken back', async () => (await unfinished()) === 0);
    expect(await keys()).toEqual([]);
    expect(copies()).toEqual([]);
  });

  it('takes back what a worker that was killed has left half sent, long ago and of this migration', async () => {
    const begin = (Key: string) => admin.send(new CreateMultipartUploadCommand({ Bucket: 'backups', Key }));
    await begin('cutover/orders-to-18/ab/abandoned');
    await begin('cutover/another/ab/abandoned');
    const large = (seed: number) => (path: string) => writeFile(path, Buffer.alloc(17 * mebibyte, seed));
    const begun = (at: string) => {
      aws.after = (_asked, answer) => answer.replaceAll(/<Initiated>[^<]*/g, `<Initiated>${at}`);
    };
    begun(new Date().toISOString());
    await store().put(migration, 'orders.dump', large(1));
    expect(await unfinished()).toBe(2);
    begun('2020-01-01T00:00:00.000Z');
    await store().put(migration, 'orders.dump', large(2));
    expect(await unfinished()).toBe(1);
  });

  it('notices content that was changed after it was stored, and storing it again mends that', async () => {
    const reference = await store().put(migration, 'dump', 'content');
    const [Key] = await keys();
    await admin.send(new PutObjectCommand({ Bucket: 'backups', Key, Body: 'CONTENT' }));
    expect(await typeOf(store().fetch(reference))).toBe('VerificationMismatch');
    expect(copies()).toEqual([]);
    await store().put(migration, 'dump', 'content');
    expect(await store().read(reference)).toBe('content');
  });

  it('removes twice without complaint, and nothing that is not its own', async () => {
    const reference = await store().put(migration, 'dump', 'content');
    expect(await typeOf(store('s3://backups/other').remove(reference))).toBe('PreconditionFailed');
    await store().remove(reference);
    await store().remove(reference);
    expect(await keys()).toEqual([]);
    expect(await typeOf(store().fetch(reference))).toBe('PreconditionFailed');
    expect(await typeOf(store().fetch({ ...reference, url: 'file:///etc/hostname' }))).toBe('PreconditionFailed');
  });

  it('removes the copies of a process that is gone, and not those of one that runs', async () => {
    const dead = join(temporary, `cutover-artifacts.${hostname()}.4194304.abcdef`);
    const alive = join(temporary, `cutover-artifacts.${hostname()}.${process.ppid}.abcdef`);
    for (const folder of [dead, alive]) await mkdir(folder);
    await store().put(migration, 'dump', 'content');
    expect(existsSync(dead)).toBe(false);
    expect(existsSync(alive)).toBe(true);
  });

  it('says what is missing: the bucket, a permission by its name, credentials, the service', async () => {
    const put = (s3 = store()) => s3.put(migration, 'dump', 'content');
    await expect(put(store('s3://nobodys/x'))).rejects.toThrow('there is no bucket nobodys');
    aws.before = ({ method }) => (method === 'PUT' ? s3Error(403, 'AccessDenied', 'Access Denied') : undefined);
    await expect(put()).rejects.toThrow("Allow the worker's AWS identity s3:PutObject on arn:aws:s3:::backups/*");
    expect(await typeOf(put())).toBe('AuthDenied');
    aws.before = () => s3Error(503, 'SlowDown', 'Please reduce your request rate.');
    expect(await typeOf(put())).toBe('ArtifactStoreUnavailable');
    aws.open();
    const nobody = put(store('s3://backups', 'http://127.0.0.1:9'));
    await expect(nobody).rejects.toThrow('ECONNREFUSED');
    expect(await typeOf(nobody)).toBe('ArtifactStoreUnavailable');
    delete process.env.AWS_ACCESS_KEY_ID;
    await expect(put()).rejects.toThrow('the worker has no valid AWS credentials');
    expect(await keys()).toEqual([]);
  });

  it('passes on what the maker of the content says, and tells of a full disk of the worker', async () => {
    const failing = (error: Error) => store().put(migration, 'dump', () => Promise.reject(error));
    await expect(failing(new Error('the tool died'))).rejects.toThrow('the tool died');
    await expect(failing(Object.assign(new Error('full'), { code: 'ENOSPC' }))).rejects.toThrow('set TMPDIR');
    expect(await store().freeBytes?.()).toBeGreaterThan(0);
  });

  it('keeps the reports of a migration, which are found by their s3:// URLs', async () => {
    const activities = createReportActivities({ artifacts: store() });
    const { html } = await activities.writeReport({ journal: completedJournal() });
    expect(html.url).toMatch(/^s3:\/\/backups\/cutover\/.*html$/);
    expect(await store().read(html)).toContain('<html');
  });
});
