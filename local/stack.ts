// The embedded stack: Temporal, PostgreSQL 15 as source and 18 as target, for Calico an etcd as source and a kube-apiserver
// as target; started together and stopped together.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Say } from './binaries/search';
import { startEtcd, type EtcdServer } from './etcd-server';
import { startKubernetes, type KubernetesOptions, type KubernetesServer } from './kube-apiserver';
import { startPostgres, type PostgresServer } from './postgres-server';
import { startTemporal, type TemporalOptions, type TemporalServer } from './temporal-server';

export { ensureClientTools } from './binaries/postgres-client';
export interface StackOptions {
  /** Kept and used again, with a folder for each server. Without it every server has a temporary one. */
  folder?: string;
  /** False: no Temporal. */
  temporal?: boolean | Omit<TemporalOptions, 'folder' | 'say'>;
  /** False: no PostgreSQL. */
  postgres?: boolean;
  /** True: an etcd and a kube-apiserver; or with users and flags of the latter. */
  calico?: boolean | Omit<KubernetesOptions, 'folder' | 'say'>;
  say?: Say;
}

export interface Stack {
  temporal?: TemporalServer;
  /** PostgreSQL 15. */
  source?: PostgresServer;
  /** PostgreSQL 18. */
  target?: PostgresServer;
  /** Calico's datastore before a migration; Kubernetes has another of its own. */
  calicoEtcd?: EtcdServer;
  kubernetes?: KubernetesServer;
  /** Stops all, the databases last; the first failure is thrown when all have been tried. */
  stop(): Promise<void>;
}

/** Starts what is asked for, all at once. When one does not start, the others are stopped and its error is thrown. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const { folder, say, temporal = true, postgres = true, calico = false } = options;
  if (folder) await mkdir(folder, { recursive: true, mode: 0o711 });
  const below = (name: string): string | undefined => (folder ? join(folder, name) : undefined);
  const results = await Promise.allSettled([
    temporal ? startTemporal({ ...(temporal === true ? {} : temporal), folder: below('temporal'), say }) : undefined,
    postgres ? startPostgres({ major: 15, folder: below('postgres-15'), say }) : undefined,
    postgres ? startPostgres({ major: 18, folder: below('postgres-18'), say }) : undefined,
    calico ? startEtcd({ folder: below('calico-etcd'), say }) : undefined,
    calico ? startKubernetes({ ...(calico === true ? {} : calico), folder: below('kubernetes'), say }) : undefined,
  ]);
  const [server, source, target, calicoEtcd, kubernetes] = results;
  const stack: Stack = {
    temporal: started(server),
    source: started(source),
    target: started(target),
    calicoEtcd: started(calicoEtcd),
    kubernetes: started(kubernetes),
    async stop() {
      const servers = [stack.temporal, stack.kubernetes, stack.calicoEtcd, stack.target, stack.source];
      const failures: unknown[] = [];
      for (const one of servers) await one?.stop().catch((error: unknown) => failures.push(error));
      if (failures.length > 0) throw failures[0];
    },
  };
  const failed = results.find((one) => one.status === 'rejected');
  if (failed) {
    await stack.stop().catch(() => undefined);
    throw failed.reason;
  }
  return stack;
}

function started<T>(result: PromiseSettledResult<T>): T | undefined {
  return result.status === 'fulfilled' ? result.value : undefined;
}
