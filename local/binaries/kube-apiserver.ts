// Finds a kube-apiserver: CUTOVER_KUBE_APISERVER, envtest's KUBEBUILDER_ASSETS, PATH, our cache; otherwise downloads
// envtest's or, where that is refused, builds one with Go.
import { envtestDownload, kubernetesVersion, type EnvtestOptions } from './envtest';
import { findBinary, type BinarySearch } from './find-binary';
import { goBuild } from './go-build';
import { unfitBelow } from './search';

/** The oldest that the versions of Calico that can be migrated still run on. */
const oldest = [1, 27] as const;

/** Path of a kube-apiserver that runs here. Throws with all that was tried. */
export async function findKubeApiserver(options: BinarySearch & EnvtestOptions = {}): Promise<string> {
  return findBinary(
    {
      name: 'Kubernetes',
      description: `A kube-apiserver (${kubernetesVersion}, or another from ${oldest.join('.')} on)`,
      command: 'kube-apiserver',
      variables: [
        { variable: 'CUTOVER_KUBE_APISERVER', holds: 'file' },
        { variable: 'KUBEBUILDER_ASSETS', holds: 'folder' },
      ],
      version: kubernetesVersion,
      unfit,
      ways: [
        envtestDownload({ name: 'Kubernetes', command: 'kube-apiserver' }, options),
        goBuild({
          title: `Kubernetes: building kube-apiserver ${kubernetesVersion}`,
          usual: '4 to 6 min, once; 105 MB in the cache',
          step: `go build of kube-apiserver v${kubernetesVersion}`,
          command: 'kube-apiserver',
          package: 'k8s.io/kubernetes/cmd/kube-apiserver',
          module: 'kube-apiserver',
          set: { 'k8s.io/component-base/version.gitVersion': `v${kubernetesVersion}` },
        }),
      ],
      advice:
        'Run "setup-envtest use" and set KUBEBUILDER_ASSETS to the folder that it prints, or set CUTOVER_KUBE_APISERVER to a kube-apiserver, ' +
        'or install Go and try again.',
    },
    options,
  );
}

/** Plain `go build` leaves the version unset, `v0.0.0-master`: such a one is taken on trust. */
async function unfit(file: string): Promise<string | undefined> {
  const why = await unfitBelow(oldest, /^Kubernetes v(\d+)\.(\d+)/, file);
  return why?.startsWith('too old: Kubernetes v0.0.0-master') ? undefined : why;
}
