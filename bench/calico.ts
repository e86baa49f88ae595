// `npm run bench:calico`: our import into the Kubernetes datastore beside one client that writes one object after the other, held to the 50
// requests a second of calicoctl, and the same client without that limit. Same data, same apiserver, one run, alternating rounds, each
// onto definitions without objects. What counts is the ratio, round by round.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { startStack } from '../local/stack';
import { BenchCluster } from './calico-cluster';
import { importSequentially } from './calico-sequential';

const say = (line: string): void => void process.stderr.write(`${line}\n`);

interface BenchOptions {
  handles: number;
  policies: number;
  rounds: number;
  writers: number;
  json: boolean;
}

interface Round {
  contender: Contender;
  objects: number;
  seconds: number;
  objectsPerSecond: number;
}

const contenders = ['ours', 'sequential, 50 a second', 'sequential, unlimited'] as const;
type Contender = (typeof contenders)[number];

async function bench(options: BenchOptions): Promise<void> {
  const { handles, policies, rounds, writers, json } = options;
  const folder = mkdtempSync(join(tmpdir(), 'cutover-bench-'));
  const stack = await startStack({ temporal: false, postgres: false, calico: true, say });
  try {
    const { calicoEtcd, kubernetes } = stack;
    if (!calicoEtcd || !kubernetes) throw new Error('the stack is not complete');
    say(`writing a Calico datastore of ${handles} handles and ${policies} policies`);
    const artifacts = pathToFileURL(join(folder, 'artifacts')).href;
    const cluster = new BenchCluster({
      endpoint: calicoEtcd.endpoint,
      kubeconfig: kubernetes.kubeconfig(),
      artifacts,
      writers,
    });
    await cluster.seed({ handles, policies });
    const all: Round[] = [];
    for (let round = 0; round < rounds; round += 1) {
      // Each begins a round in its turn, so that none is always the one after a rest.
      for (let turn = 0; turn < contenders.length; turn += 1) {
        const contender = contenders[(round + turn) % contenders.length] ?? 'ours';
        await cluster.empty();
        const from = performance.now();
        const objects = await importBy(contender, cluster);
        const seconds = (performance.now() - from) / 1_000;
        await cluster.requireAll(objects);
        all.push({ contender, objects, seconds, objectsPerSecond: objects / seconds });
        say(`round ${round + 1}: ${contender.padEnd(24)} ${describe(all.at(-1))}`);
      }
    }
    const locked = await cluster.lockedWindow();
    cluster.close();
    report({ rounds: all, locked, options: { handles, policies, rounds, writers } }, json);
  } finally {
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function importBy(contender: Contender, cluster: BenchCluster): Promise<number> {
  if (contender === 'ours') return cluster.import();
  const perSecond = contender === 'sequential, unlimited' ? Infinity : 50;
  return importSequentially(cluster.kubeconfig, cluster.wanted(), perSecond);
}

interface Results {
  rounds: Round[];
  /** Parts of the time between the two locks and the unlock, in seconds. */
  locked: Record<string, number>;
  options: Omit<BenchOptions, 'json'>;
}

function report({ rounds, locked, options }: Results, json: boolean): void {
  const ratios = contenders.slice(1).map((contender) => ({ contender, ...spread(ratiosTo(rounds, contender)) }));
  const lockedSeconds = Object.values(locked).reduce((sum, seconds) => sum + seconds, 0);
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  if (json) {
    print(JSON.stringify({ options, rounds, ratios, lockedSeconds, locked }, undefined, 2));
    return;
  }
  print(`\n${'import by'.padEnd(26)}${'objects'.padStart(8)}${'objects a second, median (from … to)'.padStart(40)}`);
  for (const contender of contenders) {
    const own = rounds.filter((round) => round.contender === contender);
    const { median, least, most } = spread(own.map(({ objectsPerSecond }) => objectsPerSecond));
    const rate = `${median.toFixed(0)} (${least.toFixed(0)} … ${most.toFixed(0)})`;
    print(`${contender.padEnd(26)}${String(own[0]?.objects ?? 0).padStart(8)}${rate.padStart(40)}`);
  }
  for (const { contender, median, least, most } of ratios)
    print(
      `ours is ${median.toFixed(1)} times as fast as ${contender} (${least.toFixed(1)} … ${most.toFixed(1)}), ${options.rounds} rounds`,
    );
  const parts = Object.entries(locked).map(([name, seconds]) => `${name} ${seconds.toFixed(1)}`);
  print(`Calico is locked for ${lockedSeconds.toFixed(1)} s: ${parts.join(', ')}`);
  print('  to which come the drain period of the plan, the time at the gates, and the rollout of Calico itself');
}

/** Round by round: what happened to the machine in one round happened to both. */
function ratiosTo(rounds: Round[], other: Contender): number[] {
  const of = (contender: Contender): Round[] => rounds.filter((round) => round.contender === contender);
  const others = of(other);
  return of('ours').map(({ objectsPerSecond }, round) => objectsPerSecond / (others[round]?.objectsPerSecond ?? NaN));
}

function spread(values: number[]): { median: number; least: number; most: number } {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]];
  const median = ((middle[0] ?? NaN) + (middle[1] ?? NaN)) / 2;
  return { median, least: sorted[0] ?? NaN, most: sorted.at(-1) ?? NaN };
}

function describe(round: Round | undefined): string {
  return round
    ? `${round.objects} objects in ${round.seconds.toFixed(1)} s, ${round.objectsPerSecond.toFixed(0)} a second`
    : '';
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('expected a whole number from 1');
  return Number(text);
}

new Command('npm run bench:calico --')
  .description(
    'Our import into the Kubernetes datastore beside a sequential client, at 50 requests a second and unlimited.',
  )
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .option('--handles <n>', 'IPAM handles in the datastore', wholeNumber, 1_000)
  .option('--policies <n>', 'network policies in it', wholeNumber, 300)
  .option('--rounds <n>', 'how often each is run', wholeNumber, 3)
  .option('--writers <n>', 'of our import', wholeNumber, 16)
  .option('--json', 'print JSON', false)
  .action(bench)
  .parseAsync()
  .catch((error: unknown) => {
    process.stderr.write(
      `the benchmark failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exitCode = 1;
  });
