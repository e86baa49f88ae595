// The download that setup-envtest makes: an index lists, for each Kubernetes version and platform, an archive with
// kube-apiserver and etcd and its SHA-512. Nothing is unpacked that does not have the hash of the index.
// Source of the format: https://book.kubebuilder.io/reference/envtest and sigs.k8s.io/controller-tools/envtest-releases.yaml.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { z } from 'zod';
import type { Way } from './find-binary';

const run = promisify(execFile);

/** What we download or build; the same version is pinned in `go/kube-apiserver/go.mod`. */
export const kubernetesVersion = '1.36.3';

const usualIndex = 'https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml';

export interface EnvtestOptions {
  /** Of another place that serves an index in envtest's format. */
  indexUrl?: string;
  /** How long the download may stay without an answer, and then without progress; milliseconds. */
  patienceMs?: number;
}

/** Version to archive to hash and address; the hash is SHA-512 in hexadecimal. */
const releaseIndex = z.object({
  releases: z.record(z.string(), z.record(z.string(), z.object({ hash: z.string(), selfLink: z.url() }))),
});

/** A way to get one command of the archive for `kubernetesVersion`, or of the newest there is below its next minor version. */
export function envtestDownload({ name, command }: { name: string; command: string }, options: EnvtestOptions): Way {
  const { indexUrl = usualIndex, patienceMs = 20_000 } = options;
  const title = "the download of envtest's archive";
  return {
    title,
    get: async ({ folder, say }) => {
      const patience = `given up after ${patienceMs / 1_000} s without an answer or progress`;
      say(`${name}: downloading ${command} as setup-envtest does, some 60 MB (some 20 s; ${patience})`);
      try {
        const archive = chooseArchive(await indexAt(indexUrl, patienceMs));
        const file = join(folder, 'archive.tar.gz');
        const hash = await download(archive.url, file, patienceMs);
        if (hash !== archive.hash) return { why: `${archive.url} has SHA-512 ${hash}, the index says ${archive.hash}` };
        const unpacked = join(folder, 'archive');
        await mkdir(unpacked);
        await run('tar', ['-xzf', file, '-C', unpacked]);
        const entries = await readdir(unpacked, { recursive: true, withFileTypes: true });
        const entry = entries.find((one) => one.name === command && one.isFile());
        return entry ? { file: join(entry.parentPath, command) } : { why: `${archive.url} holds no ${command}` };
      } catch (error) {
        return { why: reasonOf(error, patienceMs) };
      }
    },
  };
}

async function indexAt(url: string, patienceMs: number): Promise<z.infer<typeof releaseIndex>> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(patienceMs) });
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
  const index = releaseIndex.safeParse(parse(await answer.text()));
  if (!index.success) throw new Error(`${url} is not an index of envtest's archives`);
  return index.data;
}

interface Archive {
  url: string;
  hash: string;
}

function chooseArchive(index: z.infer<typeof releaseIndex>): Archive {
  const limit = numbersOf(kubernetesVersion);
  const suffix = `-${process.platform}-${goArchitecture()}.tar.gz`;
  const offered = Object.entries(index.releases).flatMap(([version, archives]) => {
    const archive = Object.entries(archives).find(([name]) => name.endsWith(suffix))?.[1];
    const numbers = numbersOf(version);
    const stable = /^v\d+\.\d+\.\d+$/.test(version);
    const near = compare(numbers.slice(0, 2), limit.slice(0, 2)) <= 0;
    return archive && stable && near ? [{ numbers, url: archive.selfLink, hash: archive.hash.toLowerCase() }] : [];
  });
  const newest = offered.sort((one, other) => compare(other.numbers, one.numbers))[0];
  if (!newest) throw new Error(`the index has no archive for ${process.platform}-${goArchitecture()}`);
  return newest;
}

/** Resolves to the SHA-512 of what was written, in hexadecimal. */
async function download(url: string, file: string, patienceMs: number): Promise<string> {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(new DOMException('no progress', 'TimeoutError')), patienceMs);
  try {
    const answer = await fetch(url, { signal: patience.signal });
    if (!answer.ok || !answer.body) throw new Error(`${url} answers ${answer.status}`);
    const hash = createHash('sha512');
    const body = Readable.fromWeb(answer.body);
    body.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      timer.refresh();
    });
    await pipeline(body, createWriteStream(file));
    return hash.digest('hex');
  } finally {
    clearTimeout(timer);
  }
}

function numbersOf(version: string): number[] {
  return version.replace(/^v/, '').split('.').map(Number.parseFloat);
}

function compare(one: number[], other: number[]): number {
  const place = one.findIndex((number, n) => number !== other[n]);
  return place === -1 ? 0 : (one[place] ?? 0) - (other[place] ?? 0);
}

function goArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch === 'ppc64' ? 'ppc64le' : process.arch;
}

/** fetch says `fetch failed` and keeps the reason below, with only a code where several addresses were tried. */
function reasonOf(error: unknown, patienceMs: number): string {
  if (typeof error !== 'object' || error === null) return String(error);
  const text = (key: string): string => (key in error ? String(Reflect.get(error, key)) : '');
  if (text('name') === 'TimeoutError') return `no answer or no progress for ${patienceMs / 1_000} s`;
  const reason = text('message') || text('code');
  return 'cause' in error && error.cause ? `${reason}: ${reasonOf(error.cause, patienceMs)}` : reason;
}
