// PostgreSQL refuses to run as root, so root hands its servers to an ordinary user that the system already has.
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface ServerUser {
  name: string;
  uid: number;
  gid: number;
}

/** The user that servers run as: undefined when we are an ordinary user ourselves, otherwise `postgres`, `nobody` or `daemon`. */
export async function serverUser(): Promise<ServerUser | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody', 'daemon']) {
    const uid = await identity('-u', name);
    const gid = await identity('-g', name);
    if (uid && gid) return { name, uid, gid };
  }
  throw new Error(
    'PostgreSQL refuses to run as root and none of the users postgres, nobody, daemon exists. Run as an ordinary user.',
  );
}

async function identity(what: '-u' | '-g', name: string): Promise<number | undefined> {
  return run('id', [what, name]).then(
    ({ stdout }) => Number(stdout.trim()),
    () => undefined,
  );
}

/** Whether `user` can enter the folder. */
export async function canReach(folder: string, user: ServerUser): Promise<boolean> {
  return run('/bin/ls', ['-d', `${folder}/.`], { uid: user.uid, gid: user.gid, cwd: '/' }).then(
    () => true,
    () => false,
  );
}

/** The system's folder for temporary files; when `user` cannot reach that one, another that he can. */
export async function temporaryFolderFor(user: ServerUser | undefined): Promise<string> {
  for (const folder of [tmpdir(), '/var/tmp', '/tmp']) {
    if (!user || (await canReach(folder, user))) return folder;
  }
  throw new Error(`No temporary folder is readable for user ${user?.name}. Set TMPDIR to one that is.`);
}
