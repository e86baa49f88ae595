import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { findMoto, motoVersion, prepareMoto, whyNoMoto } from '../../local/binaries/moto';
import { commandsIn, script } from '../fixtures/pretended-commands';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'finding-moto-'));
  chmodSync(folder, 0o755);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const help = 'usage: moto_server [-h] [-H HOST] [-p PORT]';

it('is taken from CUTOVER_MOTO, then PATH, then the cache', async () => {
  const named = join(commandsIn(join(folder, 'named'), { other: help }), 'other');
  const path = commandsIn(join(folder, 'path'), { moto_server: help });
  const place = join(folder, 'cache', 'cutover', 'moto', motoVersion);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'whole'), '');
  const XDG_CACHE_HOME = join(folder, 'cache');
  const PATH = [path, '/nowhere'].join(delimiter);
  const find = async (environment: NodeJS.ProcessEnv): Promise<string> =>
    (await findMoto({ environment, mayFetch: false })).command;
  expect(await find({ CUTOVER_MOTO: named, PATH, XDG_CACHE_HOME })).toBe(named);
  expect(await find({ PATH, XDG_CACHE_HOME })).toBe(join(path, 'moto_server'));
  expect(await find({ PATH: '/nowhere', XDG_CACHE_HOME })).toBe(join(place, 'bin', 'python'));
});

it('without Python 3, or with one that cannot install it, is said to be missing before any test runs', async () => {
  const said: string[] = [];
  const environment = { PATH: join(folder, 'empty'), XDG_CACHE_HOME: join(folder, 'cache') };
  expect(whyNoMoto(environment)).toBe('there is no Python 3');
  script(join(folder, 'old', 'python3'), 'exit 3');
  const old = { ...environment, PATH: join(folder, 'old') };
  expect(whyNoMoto(old)).toBe('the Python 3 here is older than 3.10 or has no venv module');
  await prepareMoto((line) => said.push(line), old);
  expect(said.join('\n')).toContain('tests that need it are not run');
  expect(said.join('\n')).toContain('pip install moto[server]');
  expect(whyNoMoto(old)).toBe('moto could not be installed');
});
