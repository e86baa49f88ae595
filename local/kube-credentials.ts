// Who may talk to the local kube-apiserver: an administrator and users with roles, each with a token, and the key pair
// that the server signs service account tokens with. All of it is kept in the server's folder, readable by us alone.
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';

export interface TokenUser {
  /** As RBAC bindings name it. */
  name: string;
  /** A random one by default, and the same again in a folder that is kept. */
  token?: string;
  /** `system:authenticated` comes on its own. */
  groups?: string[];
}

export type KnownUser = Required<TokenUser>;

export const admin = { name: 'admin', groups: ['system:masters'] } as const;

/** Both files in PEM; the private one is made once. */
export async function keepServiceAccountKey(folder: string): Promise<string> {
  const file = join(folder, 'service-account.key');
  if (!existsSync(file)) {
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2_048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    });
    await writeFile(file, privateKey, { mode: 0o600 });
  }
  return file;
}

/**
 * Writes the file that `--token-auth-file` takes: token, name, uid, groups. Users of an earlier start stay, so that their
 * tokens go on working. Throws when a name or token would not fit into a line.
 */
export async function keepTokens(folder: string, wanted: TokenUser[]): Promise<{ file: string; users: KnownUser[] }> {
  const file = join(folder, 'tokens.csv');
  const users = new Map(parseTokens(await readFile(file, 'utf8').catch(() => '')).map((user) => [user.name, user]));
  for (const { name, token, groups = [] } of [{ ...admin, groups: [...admin.groups] }, ...wanted] as TokenUser[]) {
    const unfit = [name, token ?? '', ...groups].find((text) => !/^[\w.:@/=+-]*$/.test(text));
    if (unfit !== undefined || !name)
      throw new Error(`A user, group or token "${unfit}" cannot be written to ${file}.`);
    users.set(name, { name, token: token ?? users.get(name)?.token ?? randomBytes(24).toString('base64url'), groups });
  }
  const lines = [...users.values()].map(
    (user) => `${user.token},${user.name},${user.name},"${user.groups.join(',')}"\n`,
  );
  await writeFile(file, lines.join(''), { mode: 0o600 });
  return { file, users: [...users.values()] };
}

function parseTokens(text: string): KnownUser[] {
  return [...text.matchAll(/^([^,]+),([^,]+),[^,]+,"([^"]*)"$/gm)].map(([, token = '', name = '', groups = '']) => ({
    name,
    token,
    groups: groups.split(',').filter(Boolean),
  }));
}

/** The authority that signed the server's own certificate, in PEM; the server writes it behind its certificate. Throws while it is not there. */
export async function authorityOf(certificateFile: string): Promise<string> {
  const text = await readFile(certificateFile, 'utf8');
  const chain = text.match(/-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----\n?/g) ?? [];
  const authority = chain.find((pem) => new X509Certificate(pem).ca);
  if (!authority) throw new Error(`${certificateFile} holds no certificate of an authority`);
  return authority;
}

/** A kubeconfig in YAML, complete in itself. */
export function kubeconfigOf(url: string, authority: string, user: KnownUser): string {
  const name = 'cutover';
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [
      { name, cluster: { server: url, 'certificate-authority-data': Buffer.from(authority).toString('base64') } },
    ],
    users: [{ name: user.name, user: { token: user.token } }],
    contexts: [{ name, context: { cluster: name, user: user.name } }],
  });
}
