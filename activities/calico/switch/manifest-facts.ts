// Reads the two manifests of a plan from the worker's disk, refuses those that would do harm (swapped, mixed, still with placeholders, of an
// operator), and fixes the rest as artifacts, without their Secrets: a file that changes on the disk later changes nothing.
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { ArtifactStore } from '../../artifacts/store';
import { failure } from '../../errors';
import { isObject } from '../json';
import type { CalicoScope } from '../scope';
import { parseManifest, titleOf, type ManifestObject } from './manifest';
import type { ManifestFacts, ManifestPair } from './types';
import { isSecret, withoutSecrets } from './without-secrets';
import {
  calicoNodeOf,
  containersOf,
  datastoreOf,
  isWorkload,
  member,
  otherDatastore,
  type Datastore,
} from './workload';

export function createManifestFactsActivities({ artifacts }: { artifacts: ArtifactStore }) {
  async function fix(migration: string, path: string, datastore: Datastore): Promise<ManifestFacts> {
    const text = await readManifest(path);
    const objects = parseManifest(text, path);
    refuseWrongOnes(objects, path, datastore);
    const kept = withoutSecrets(text, path);
    const artifact = await artifacts.put(migration, `${datastore}-${basename(path)}`, kept);
    return { artifact, ...factsOf(objects) };
  }

  return {
    /** @throws PreconditionFailed (not retryable) for a file that is missing, no manifest, or the wrong one; ArtifactStoreUnavailable */
    async readManifests({
      scope,
      manifests,
    }: {
      scope: CalicoScope;
      manifests: { kubernetes: string; etcd: string };
    }): Promise<ManifestPair> {
      return {
        kubernetes: await fix(scope.migration, manifests.kubernetes, 'kubernetes'),
        etcd: await fix(scope.migration, manifests.etcd, 'etcd'),
      };
    },
  };
}

async function readManifest(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw failure(
      'PreconditionFailed',
      `The manifest ${path} cannot be read by the worker: ${code}. Put the file where every worker finds it, or leave "manifests" out of the plan and apply them by hand.`,
    );
  });
}

/** What a manifest holds, without the artifact. */
export function factsOf(all: ManifestObject[]): Omit<ManifestFacts, 'artifact'> {
  const objects = all.filter((object) => !isSecret(object));
  const secrets = all.filter(isSecret);
  const workloads = objects.filter(isWorkload);
  const images = [...new Set(workloads.flatMap(({ body }) => containersOf(body).map(({ image }) => image)))].sort();
  const node = workloads.map(({ body }) => calicoNodeOf(body)).find((container) => container !== undefined);
  const calicoVersion = node && versionOf(node.image);
  return {
    objects: objects.length,
    crds: objects.filter(({ kind }) => kind === 'CustomResourceDefinition').map(({ name }) => name),
    workloads: workloads.map(titleOf),
    ...(calicoVersion !== undefined && { calicoVersion }),
    images,
    ...(secrets.length > 0 && { secrets: secrets.map(titleOf) }),
  };
}

/** `quay.io/calico/node:v3.30.3@sha256:…` -> `v3.30.3` */
function versionOf(image: string): string | undefined {
  const version = /:v?(3\.\d+\.\d+[^@/:]*)(@|$)/.exec(image)?.[1];
  return version === undefined ? undefined : `v${version}`;
}

function refuseWrongOnes(objects: ManifestObject[], path: string, datastore: Datastore): void {
  const reason = [operatorOf, nodeOf, mixedOf, cniOf, placeholderOf, dataOf]
    .map((look) => look(objects, datastore))
    .find((found) => found !== undefined);
  if (reason === undefined) return;
  throw failure('PreconditionFailed', `The ${datastore} manifest ${path} is refused: ${reason}`);
}

type Look = (objects: ManifestObject[], datastore: Datastore) => string | undefined;

const operatorOf: Look = (objects) => {
  const found = objects.find(({ apiVersion }) => apiVersion.startsWith('operator.tigera.io/'));
  return found
    ? `${titleOf(found)} (${found.where}) is for the Tigera operator, which would install Calico by itself and undo what is applied. Leave "manifests" out of the plan and change the datastore at the gate apply-manifest.`
    : undefined;
};

const nodeOf: Look = (objects, datastore) => {
  const node = objects.filter(isWorkload).find(({ body }) => calicoNodeOf(body));
  const container = node && calicoNodeOf(node.body);
  if (!node || !container) {
    return 'no DaemonSet in it has a container "calico-node". Name the whole manifest of Calico, calico.yaml, for this datastore.';
  }
  const says = datastoreOf(container);
  if (says === datastore) return undefined;
  const swapped = says === undefined ? '' : ' Are the two files swapped?';
  return `calico-node of ${titleOf(node)} (${node.where}) says ${says ?? 'nothing about the datastore'}, not ${datastore === 'kubernetes' ? 'DATASTORE_TYPE=kubernetes' : 'ETCD_ENDPOINTS'}.${swapped} Correct "manifests" in the plan or the file.`;
};

const mixedOf: Look = (objects, datastore) => {
  const mixed = objects
    .filter(isWorkload)
    .flatMap((object) =>
      otherDatastore(object.body, datastore).map((what) => `${titleOf(object)} (${object.where}): ${what}`),
    );
  return mixed.length > 0
    ? `components would use different datastores: ${mixed.join('; ')}. Give all of them the same setting.`
    : undefined;
};

/** The template of the CNI plugin's configuration, a text in ConfigMap calico-config. */
const cniOf: Look = (objects, datastore) => {
  for (const object of objects.filter(({ kind }) => kind === 'ConfigMap')) {
    for (const [key, text] of Object.entries(member(object.body, 'data'))) {
      if (typeof text !== 'string' || !/"type"\s*:\s*"calico"/.test(text)) continue;
      const kubernetes = /"datastore_type"\s*:\s*"kubernetes"/.test(text);
      if (kubernetes === (datastore === 'kubernetes')) continue;
      return `${key} of ${titleOf(object)} (${object.where}) tells the CNI plugin to use ${kubernetes ? 'the Kubernetes datastore' : 'etcd'}. Give it the setting that calico-node has.`;
    }
  }
  return undefined;
};

const placeholderOf: Look = (objects) => {
  const found = objects
    .filter(({ kind }) => kind === 'ConfigMap' || kind === 'Secret')
    .find(({ body }) =>
      ['data', 'stringData'].some((name) =>
        Object.values(member(body, name)).some((text) => typeof text === 'string' && /<ETCD_(IP|PORT)>/.test(text)),
      ),
    );
  return found
    ? `${titleOf(found)} (${found.where}) still has the placeholder <ETCD_IP>. Fill in what the cluster runs with today: this manifest is applied on the way back.`
    : undefined;
};

const dataOf: Look = (objects) => {
  const found = objects.filter(({ apiVersion }) => /^(crd\.)?projectcalico\.org\//.test(apiVersion));
  return found.length > 0 && isObject(found[0]?.body)
    ? `it holds data of Calico (${found.map(titleOf).slice(0, 5).join(', ')}), which the migration carries itself. Take these objects out of the file.`
    : undefined;
};
