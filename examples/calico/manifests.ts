// The two manifests of the example cluster, and the program that writes the definitions of crds.ts into the one for the Kubernetes
// datastore: node dist/examples/calico/manifests.js (then npm run format).
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { calicoCrds } from './crds';

/** Beside this file, or beside its source when this is the compiled one. */
const folder = existsSync(join(__dirname, 'calico.yaml'))
  ? __dirname
  : join(dirname(dirname(dirname(__dirname))), 'examples', 'calico');

/** Absolute paths, as a plan names them. */
export const exampleManifests = {
  kubernetes: join(folder, 'calico.yaml'),
  etcd: join(folder, 'calico-etcd.yaml'),
};

/** The worker's account on a cluster and its rights; the demo's worker has no others. */
export const workerRights = join(folder, 'rbac.yaml');

const startOfDefinitions = "# Definitions of Calico's kinds, from examples/calico/crds.ts.\n";

/** The text of a manifest with everything after the mark replaced by the definitions. */
export function withDefinitions(manifest: string): string {
  const start = manifest.indexOf(startOfDefinitions);
  if (start < 0) throw new Error(`The manifest has no line ${JSON.stringify(startOfDefinitions)}. Put it back.`);
  const definitions = calicoCrds().map((definition) => stringify(definition, { aliasDuplicateObjects: false }));
  return manifest.slice(0, start) + startOfDefinitions + definitions.join('---\n');
}

async function main(): Promise<void> {
  const manifest = await readFile(exampleManifests.kubernetes, 'utf8');
  await writeFile(exampleManifests.kubernetes, withDefinitions(manifest));
}

if (require.main === module) void main();
