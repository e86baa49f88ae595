// `npm run demo:calico`: a cluster's Calico moves from etcd to the Kubernetes datastore, once refused, once rolled back at the last moment,
// then for real with a worker killed in the middle. Exit code 0 only if both sides agree, object by object, when they are read anew.
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { Command, InvalidArgumentError } from 'commander';
import { Etcd3 } from 'etcd3';
import pc from 'picocolors';
import { startStack, type Stack } from '../../local/stack';
import type { CalicoPlanInput } from '../../plan/calico';
import { formatDurationMs } from '../../plan/duration';
import { Cluster } from '../calico/cluster';
import { exampleManifests } from '../calico/manifests';
import { startRolloutStandIn } from '../calico/rollout-stand-in';
import { mendSampleDatastore, writeSampleDatastore, type Spoilt } from '../calico/sample-datastore';
import { grantWorkerRights, seedCluster, workerAccount } from '../calico/seed-cluster';
import { FolderRefused, freshFolder } from '../demo/folder';
import { Narrator } from '../demo/narrator';
import { startWorkerProcess, type WorkerProcess } from '../demo/worker-process';
import { compareDatastores, type Comparison } from './compare';
import { runMove } from './move';
import { readState, stateDifferences } from './state';

interface DemoOptions {
  handles: number;
  policies: number;
  nodes: number;
  rollbackFirst: boolean;
  killWorker: boolean;
  keep: boolean;
  folder: string;
}

const spoilt: Spoilt[] = ['user-profile', 'unparseable', 'handle-with-slash'];
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const dim = (line: string): void => say(pc.dim(`  ${line}`));
const heading = (text: string): void => say(`\n${pc.bold(pc.inverse(` ${text} `))}`);

async function demo(options: DemoOptions): Promise<boolean> {
  const folder = resolve(options.folder);
  freshFolder(folder);
  heading('The stack: Temporal with its Web UI, an etcd for Calico, a kube-apiserver with an etcd of its own');
  const stack = await startStack({
    folder: join(folder, 'stack'),
    temporal: { preferDefaults: true },
    postgres: false,
    calico: { tokens: [workerAccount] },
    say: dim,
  });
  const stopping: (() => Promise<unknown>)[] = [() => stack.stop()];
  const stopAll = async (): Promise<void> => {
    for (const stop of stopping.splice(0).reverse())
      await stop().catch((error: unknown) => say(`  while stopping: ${String(error)}`));
  };
  const giveUp = (): void => void stopAll().then(() => process.exit(130));
  process.once('SIGINT', giveUp);
  try {
    const fine = await new CalicoDemo(stack, folder, options, stopping).run();
    if (options.keep) {
      say(`\n  Everything is left running, as --keep says. KUBECONFIG=${stack.kubernetes?.kubeconfigPath}`);
      say(`  ETCD_ENDPOINTS=${stack.calicoEtcd?.endpoint}   Ctrl-C ends it.`);
      process.removeListener('SIGINT', giveUp);
      await new Promise((resolve) => process.once('SIGINT', resolve));
    }
    return fine;
  } finally {
    await stopAll();
  }
}

class CalicoDemo {
  private readonly cluster: Cluster;
  private readonly etcd: Etcd3;
  private worker?: WorkerProcess;

  constructor(
    private readonly stack: Stack,
    private readonly folder: string,
    private readonly options: DemoOptions,
    private readonly stopping: (() => Promise<unknown>)[],
  ) {
    const { kubernetes, calicoEtcd } = stack;
    if (!kubernetes || !calicoEtcd) throw new Error('the stack is not complete');
    this.cluster = new Cluster(kubernetes.kubeconfig());
    this.etcd = new Etcd3({ hosts: calicoEtcd.endpoint });
    stopping.push(async () => {
      this.etcd.close();
      this.cluster.close();
    });
  }

  async run(): Promise<boolean> {
    const { temporal } = this.stack;
    if (!temporal) throw new Error('the stack has no Temporal');
    await this.seed();
    await this.startWorker();
    this.stopping.push(async () => this.worker?.stop());
    const connection = await Connection.connect({ address: temporal.address });
    this.stopping.push(() => connection.close());
    const { address, uiUrl } = temporal;
    say(`  Web UI: ${pc.cyan(uiUrl)}`);
    const client = new Client({ connection });
    const surroundings = () => ({
      client,
      address,
      uiUrl,
      folder: this.folder,
      narrator: new Narrator(say, address),
      say,
    });
    const mend = (): Promise<void> => this.mend();

    if (this.options.rollbackFirst) {
      heading('First a way back that is tried: everything up to the last gate, then a rollback');
      let before = await readState(this.etcd, this.cluster);
      // What mending takes away is not what the migration has to put back.
      const mendFirst = async (): Promise<void> => {
        await mend();
        before = await readState(this.etcd, this.cluster);
      };
      const tried = await runMove(surroundings(), this.plan('calico-tried'), { mend: mendFirst, rollBackAt: 'unlock' });
      const left = stateDifferences(before, await readState(this.etcd, this.cluster));
      say(`  Report: ${pc.cyan(tried.reportArtifact)}`);
      sayVerdict(
        left,
        `Both sides are as before: ${before.etcd.size} keys of etcd byte for byte, ${before.cluster.size} things on the cluster`,
      );
      if (tried.outcome !== 'rolled-back' || left.length > 0) return false;
    }

    heading('Now for real');
    // Slow enough for the import to have a middle to be killed in.
    const plan = this.plan('calico-to-kubernetes', this.options.killWorker ? 200 : 0);
    const result = await runMove(surroundings(), plan, {
      mend,
      duringImport: this.options.killWorker ? () => this.killWorker() : undefined,
    });
    heading('The end');
    const compared = await compareDatastores(this.etcd, this.cluster);
    sayComparison(compared);
    say(`  ${result.outcome}: ${result.rows ?? 'no'} objects imported, ${result.differences ?? 'unknown'} differences`);
    say(`  Calico was locked for ${formatDurationMs(result.downtimeMs ?? 0)}, waits at gates and the rollout included`);
    say(`  Report: ${pc.cyan(result.reportArtifact)}`);
    return result.outcome === 'completed' && compared.problems.length === 0 && compared.equal.size > 0;
  }

  private async seed(): Promise<void> {
    const { handles, policies, nodes } = this.options;
    heading("The data: Calico's datastore in etcd, and the cluster it belongs to");
    const sample = await writeSampleDatastore(this.etcd, { handles, policies, nodes, spoilt });
    dim(
      `${sample.entries.length} keys: ${handles} IPAM handles, ${policies} policies, ${nodes} nodes, most of which Kubernetes calls by other names`,
    );
    await seedCluster(this.cluster, sample);
    dim('installed: the etcd manifest of examples/calico, as kubectl apply does');
    await grantWorkerRights(this.cluster);
    dim('the worker has the rights of examples/calico/rbac.yaml, and no others');
    dim('There is no kubelet here and no controller. A stand-in writes the status that they would write; no pod runs.');
    const standIn = startRolloutStandIn(this.cluster, { nodes, say: dim });
    this.stopping.push(() => standIn.stop());
  }

  private async startWorker(): Promise<void> {
    const { temporal, kubernetes } = this.stack;
    const environment = {
      TEMPORAL_ADDRESS: temporal?.address,
      CUTOVER_ARTIFACTS: pathToFileURL(join(this.folder, 'artifacts')).href,
      // The text itself, where a cluster would have a file or the pod's own account.
      KUBECONFIG: kubernetes?.kubeconfig(workerAccount.name),
    };
    this.worker = await startWorkerProcess(environment, join(this.folder, 'worker.log'));
  }

  /** Once a fifth of the handles is on the cluster. */
  private async killWorker(): Promise<void> {
    const { handles } = this.options;
    let there = 0;
    for (const deadline = Date.now() + 30_000; there < handles / 5 && Date.now() < deadline;)
      there = (await this.cluster.list('/apis/crd.projectcalico.org/v1/ipamhandles'))?.length ?? 0;
    const pid = this.worker?.pid;
    this.worker?.kill();
    say(
      pc.red(
        `  kill -9 of the worker (pid ${pid}) with ${there} of ${handles} handles on the cluster; another one is started`,
      ),
    );
    await this.startWorker();
  }

  private async mend(): Promise<void> {
    say('  The operator looks at them and takes them out. A person would type:');
    for (const key of await mendSampleDatastore(this.etcd, spoilt)) say(pc.cyan(`    etcdctl del '${key}'`));
  }

  private plan(name: string, maxWritesPerSecond = 0): CalicoPlanInput {
    return {
      name,
      source: { endpoints: [this.stack.calicoEtcd?.endpoint ?? ''] },
      target: { kubeconfig: { env: 'KUBECONFIG' } },
      manifests: exampleManifests,
      decision: { rationale: 'New pods can wait for some minutes at night.' },
      drain: '3s',
      maxWritesPerSecond,
      monitor: '10s',
      retainSource: '5s',
    };
  }
}

function sayVerdict(problems: string[], fine: string): void {
  say(problems.length === 0 ? pc.green(`  ${fine}`) : pc.red(`  ${problems.length} differences:`));
  for (const line of problems.slice(0, 20)) say(pc.red(`    ${line.slice(0, 300)}`));
}

function sayComparison({ equal, derived, problems }: Comparison): void {
  say('  Read anew from both sides, by a comparison of its own:');
  for (const [plural, count] of [...equal].sort()) say(`    ${String(count).padStart(6)} ${plural}`);
  say(pc.dim(`    ${String(derived).padStart(6)} keys that Calico or Kubernetes make anew, without an object`));
  const total = [...equal.values()].reduce((sum, count) => sum + count, 0);
  sayVerdict(problems, `${total} objects and nodes, each equal to its source`);
}

/** With the reasons underneath: Temporal's own message says only that a workflow failed. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause ? `${error.message}: ${describeFailure(error.cause)}` : error.message;
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('expected a whole number from 1');
  return Number(text);
}

const command = new Command('npm run demo:calico --')
  .description(
    'Moves Calico from etcd to the Kubernetes datastore on an embedded stack, and proves that nothing is lost.',
  )
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .option('--handles <n>', 'IPAM handles in the sample datastore', wholeNumber, 400)
  .option('--policies <n>', 'network policies in it', wholeNumber, 60)
  .option('--nodes <n>', 'nodes of the cluster', wholeNumber, 5)
  .option('--no-rollback-first', 'do not try the way back first')
  .option('--no-kill-worker', 'do not kill the worker in the middle of the import')
  .option('--keep', 'leave everything running at the end, until Ctrl-C', false)
  .option('--folder <path>', 'where logs, data and artifacts go; emptied first', join('.cutover', 'demo-calico'))
  .action(async (options: DemoOptions) => {
    process.exitCode = (await demo(options)) ? 0 : 1;
  });

command.parseAsync().catch((error: unknown) => {
  process.stderr.write(`the demo failed: ${describeFailure(error)}\n`);
  process.exitCode = error instanceof FolderRefused ? 2 : 1;
});
