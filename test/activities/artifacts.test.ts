import { execFileSync } from 'node:child_process';
import { mkdtemp, mkdir, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, sep } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { artifactStoreFor } from '../../activities/artifacts';
import { createFileStore } from '../../activities/artifacts/file-store';
import { failureType } from '../../activities/errors';

let root: string;
const migration = 'orders-to-18';
const store = () => createFileStore(pathToFileURL(root).href);

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cutover-artifacts-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function files(): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

const typeOf = (work: Promise<unknown>) => work.then(() => 'no failure', failureType);

describe('the file store', () => {
  it('gives back what was stored, by text, buffer, stream and by a tool that writes the file itself', async () => {
    const tool = (path: string) => writeFile(path, 'content');
    const stored = [];
    for (const content of ['content', Buffer.from('content'), Readable.from(['con', 'tent']), tool]) {
      stored.push(await store().put(migration, 'a file.txt', content));
    }
    expect(new Set(stored.map(({ url }) => url)).size).toBe(1);
    expect(stored[0]).toMatchObject({
      bytes: 7,
      name: 'a file.txt',
      sha256: 'ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73',
    });
    expect(await store().read(stored[0]!)).toBe('content');
    expect(await files()).toHaveLength(1);
  });

  it("is nobody else's to read, whoever wrote the file", async () => {
    const tool = (path: string) => writeFile(path, 'rows', { mode: 0o644 });
    for (const content of ['text', tool]) {
      const path = fileURLToPath((await store().put(migration, 'a.dump', content)).url);
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      expect((await stat(join(path, '..'))).mode & 0o777).toBe(0o700);
      expect((await stat(join(path, '..', '..'))).mode & 0o777).toBe(0o700);
    }
  });

  it('keeps every migration in a directory of its own under the root, whatever its id says', async () => {
    const ids = ['../../etc', '/etc/passwd', 'a/b', 'a b', '..', '', 'ordinary'];
    const paths = await Promise.all(ids.map(async (id) => fileURLToPath((await store().put(id, '../../x', 'x')).url)));
    expect(paths.every((path) => path.startsWith(root + sep))).toBe(true);
    expect(new Set(paths).size).toBe(ids.length);
  });

  it('leaves nothing behind when the content breaks off', async () => {
    const broken = Readable.from(
      (function* () {
        yield 'half';
        throw new Error('the tool died');
      })(),
    );
    await expect(store().put(migration, 'dump', broken)).rejects.toThrow('the tool died');
    expect(await files()).toEqual([]);
  });

  it('notices content that was changed after it was stored', async () => {
    const files = store();
    const reference = await files.put(migration, 'dump', 'content');
    const path = await files.fetch(reference);
    await writeFile(path, 'CONTENT');
    await utimes(path, new Date(), new Date(Date.now() + 5_000));
    expect(await typeOf(files.fetch(reference))).toBe('VerificationMismatch');
  });

  it('calls a missing file unavailable, since another worker may have it, and removes twice without complaint', async () => {
    const reference = await store().put(migration, 'dump', 'content');
    await store().remove(reference);
    await store().remove(reference);
    expect(await typeOf(store().fetch(reference))).toBe('ArtifactStoreUnavailable');
    expect(await typeOf(store().remove({ ...reference, url: 'file:///etc/hostname' }))).toBe('PreconditionFailed');
  });

  it('removes what a killed worker left half written, and not what another one is writing', async () => {
    const folder = join(root, migration, '.incoming');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'elsewhere.7.abc'), 'being written on another machine');
    await writeFile(join(folder, 'elsewhere.7.old'), 'abandoned');
    await utimes(join(folder, 'elsewhere.7.old'), 1, 1);
    const { hostname } = await import('node:os');
    await writeFile(join(folder, `${hostname()}.4194304.abc`), 'of a process that is gone');
    await store().put(migration, 'dump', 'content');
    expect(await readdir(folder)).toEqual(['elsewhere.7.abc']);
  });

  it('says which directory is full and what to do, and leaves nothing', async () => {
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', root], { stdio: 'ignore' });
    } catch {
      return; // Only root may mount; the wording is tested below.
    }
    try {
      const stored = store().put(migration, 'dump', Buffer.alloc(1 << 20));
      await expect(stored).rejects.toThrow(`the artifact directory ${root} is full`);
      expect(await typeOf(store().put(migration, 'dump', Buffer.alloc(1 << 20)))).toBe('PreconditionFailed');
      expect(await files()).toEqual([]);
      expect(await store().freeBytes?.()).toBeLessThanOrEqual(65_536);
    } finally {
      execFileSync('umount', [root]);
    }
  });

  it('tells a full disk, a forbidden directory and a file in place of the directory apart from passing trouble', async () => {
    const failing = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }));
    expect(await typeOf(store().put(migration, 'x', failing('ENOSPC')))).toBe('PreconditionFailed');
    expect(await typeOf(store().put(migration, 'x', failing('EACCES')))).toBe('PreconditionFailed');
    expect(await typeOf(store().put(migration, 'x', failing('EIO')))).toBe('ArtifactStoreUnavailable');
    await writeFile(join(root, 'occupied'), '');
    const inside = createFileStore(pathToFileURL(join(root, 'occupied')).href);
    expect(await typeOf(inside.put(migration, 'x', 'x'))).toBe('PreconditionFailed');
    expect((await stat(join(root, 'occupied'))).size).toBe(0);
  });
});

describe('the choice of a store', () => {
  it('refuses what this version cannot use, without repeating a secret', () => {
    expect(() => artifactStoreFor('s3://Bucket/../x')).toThrow('expected s3://bucket or s3://bucket/prefix');
    expect(() => artifactStoreFor('s3://key:hunter2@bucket/x')).toThrow('"s3://bucket/x"');
    expect(() => artifactStoreFor('relative/path')).toThrow('file:///var/lib/cutover');
    expect(() => artifactStoreFor('https://user:hunter2@host/x')).toThrow('"https://host/x"');
    expect(() => artifactStoreFor('file:///')).toThrow('not a file:// URL of a directory');
  });
});
