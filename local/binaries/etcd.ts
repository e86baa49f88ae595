// Finds an etcd server: CUTOVER_ETCD, envtest's KUBEBUILDER_ASSETS, PATH, our cache; otherwise builds one with Go
// or, without Go, takes the one of envtest's archive.
import { envtestDownload, type EnvtestOptions } from './envtest';
import { findBinary, type BinarySearch } from './find-binary';
import { goBuild } from './go-build';
import { unfitBelow } from './search';

/** The etcd that we build; the same version is pinned in `go/etcd/go.mod`. */
export const etcdVersion = '3.6.16';

/** The oldest that does; Debian 12 has it. */
const oldest = [3, 4] as const;

/** Path of an etcd that runs here. Throws with all that was tried. */
export async function findEtcd(options: BinarySearch & EnvtestOptions = {}): Promise<string> {
  return findBinary(
    {
      name: 'etcd',
      description: `An etcd server (${etcdVersion}, or another from ${oldest.join('.')} on)`,
      command: 'etcd',
      variables: [
        { variable: 'CUTOVER_ETCD', holds: 'file' },
        { variable: 'KUBEBUILDER_ASSETS', holds: 'folder' },
      ],
      version: etcdVersion,
      unfit: (file) => unfitBelow(oldest, /^etcd Version: (\d+)\.(\d+)/, file),
      ways: [
        goBuild({
          title: `etcd: building ${etcdVersion}`,
          usual: 'half a minute to a minute, once; 27 MB in the cache',
          step: `go build of etcd v${etcdVersion}`,
          command: 'etcd',
          package: 'go.etcd.io/etcd/server/v3',
          module: 'etcd',
        }),
        envtestDownload({ name: 'etcd', command: 'etcd' }, options),
      ],
      advice:
        'Install etcd ("apt-get install etcd-server", "brew install etcd", https://etcd.io/docs/latest/install) and set CUTOVER_ETCD to it, ' +
        'or install Go and try again.',
    },
    options,
  );
}
