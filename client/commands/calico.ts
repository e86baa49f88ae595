// `cutover calico …`: the steps of Calico's own document one at a time, by the same activities that the workflow runs, without Temporal.
// Every step looks before it acts and can be run again; where both datastores are comes from a plan.
import { copyFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { ArtifactReference } from '../../activities/artifacts/store';
import type { EtcdSnapshot } from '../../activities/calico/etcd';
import { isObject } from '../../activities/calico/json';
import { readFile } from '../../activities/calico/kubernetes/wanted';
import { decideEncoding } from '../../activities/calico/preflight/encoding-choice';
import type { Encoding } from '../../activities/calico/scope';
import type { KindAccount, KindImport, ValidationRecord } from '../../journal/types';
import { withCalico, type CalicoSteps } from '../calico-steps';
import { CommandFailed, type ExitCode, type Terminal } from '../context';
import { alignedRows, plainText, printJson, printLines } from '../output';
import { action, examples, type AddCommand, type Context } from './command';

interface Options {
  json?: boolean;
}

export const addCalico: AddCommand = (program, context) => {
  const calico = program
    .command('calico')
    .description('single steps of a Calico migration, without Temporal: lock, export, import, diff, verify, unlock')
    .addHelpText(
      'after',
      `${examples(
        'calico lock plan.json --side source',
        'calico export plan.json --output etcd-data',
        'calico import plan.json --file etcd-data',
        'calico verify plan.json --file etcd-data',
        'calico unlock plan.json --side target',
      )}
A whole migration, with its checks, gates and rollback, is "cutover start plan.json".
`,
    );
  addLocks(calico, context);
  addExport(calico, context);
  addImport(calico, context);
  addDiff(calico, context);
  addVerify(calico, context);
  addSnapshot(calico, context);
};

function step(calico: Command, name: string, description: string): Command {
  return calico
    .command(name)
    .description(description)
    .argument('<plan>', 'Calico plan in JSON or YAML: says where both datastores are')
    .option('--json', 'print JSON');
}

type Side = 'source' | 'target';

function addLocks(calico: Command, context: Context): void {
  const { terminal } = context;
  for (const [name, verb] of [
    ['lock', 'lock a datastore: components stop changing it, new pods wait'],
    ['unlock', 'unlock a datastore: Calico goes on with it'],
  ] as const) {
    step(calico, name, verb)
      .requiredOption('--side <side>', '"source" is etcd, "target" is Kubernetes', sideOf)
      .addHelpText('after', examples(`calico ${name} plan.json --side source`))
      .action(
        action(context, (file: string, { side, json }: Options & { side: Side }) =>
          withCalico(terminal, file, async ({ activities, scope }) => {
            const isEtcd = side === 'source';
            const { before } =
              name === 'lock'
                ? await (isEtcd ? activities.lockEtcd({ scope }) : activities.lockKubernetes({ scope }))
                : await unlock(side, { activities, scope });
            const datastore = isEtcd ? 'etcd datastore' : 'Kubernetes datastore';
            if (json) printJson(terminal, { side, before, state: name === 'lock' ? 'locked' : 'ready' });
            else printLines(terminal, [`The ${datastore} is ${name}ed; it was ${before}.`]);
            return 0;
          }),
        ),
      );
  }
}

function sideOf(text: string): Side {
  if (text === 'source' || text === 'target') return text;
  throw new CommandFailed(`--side is "${text}", expected "source" (etcd) or "target" (Kubernetes).`, 2);
}

async function unlock(
  side: Side,
  { activities, scope }: Pick<CalicoSteps, 'activities' | 'scope'>,
): Promise<{ before: string }> {
  if (side === 'target') return activities.unlockKubernetes({ scope });
  const { state } = await activities.etcdLockState({ scope });
  await activities.unlockEtcd({ scope, to: 'ready' });
  return { before: state };
}

function addExport(calico: Command, context: Context): void {
  const { terminal } = context;
  step(calico, 'export', 'write the etcd datastore, at one revision, to a file that calicoctl reads as well')
    .requiredOption('-o, --output <file>', 'file to write')
    .option('--unlocked', 'export although the datastore is not locked: a copy to look at, not to migrate by')
    .addHelpText('after', examples('calico export plan.json --output etcd-data'))
    .action(
      action(context, (file: string, { output, unlocked, json }: Options & { output: string; unlocked?: boolean }) =>
        withCalico(terminal, file, async (steps) => {
          const { state } = await steps.activities.etcdLockState({ scope: steps.scope });
          if (state !== 'locked' && !unlocked) {
            throw new CommandFailed(
              `The etcd datastore is ${state}, not locked: what is written during or after the export would be missing. Run "cutover calico lock ${file} --side source" first, or add --unlocked for a copy to look at.`,
              2,
            );
          }
          const exported = await exportNow(steps);
          await copyFile(await steps.artifacts.fetch(exported.file), output);
          const { accounting, revision, objects } = exported;
          if (json) printJson(terminal, { output, revision, objects, locked: state === 'locked', accounting });
          else
            printLines(terminal, [
              ...accountLines(accounting.kinds),
              ...accounting.refused.map(({ key, reason }) => `refused  ${plainText(key)}: ${plainText(reason)}`),
              ...accounting.remarks.map((remark) => `remark   ${plainText(remark)}`),
              `${objects} objects at etcd revision ${revision} are in ${output}.`,
            ]);
          return 0;
        }),
      ),
    );
}

interface ExportedNow {
  file: ArtifactReference;
  snapshot: EtcdSnapshot;
  revision: string;
  objects: number;
  calicoVersion?: string;
  accounting: Awaited<ReturnType<CalicoSteps['activities']['exportCalico']>>['accounting'];
}

async function exportNow({ activities, scope }: CalicoSteps): Promise<ExportedNow> {
  const snapshot = await activities.takeEtcdSnapshot({ scope, name: 'etcd.jsonl' });
  const { revision } = snapshot;
  const exported = await activities.exportCalico({ scope, snapshot: snapshot.artifact, revision });
  return { ...exported, snapshot, revision };
}

function addImport(calico: Command, context: Context): void {
  const { terminal } = context;
  step(calico, 'import', "write an export file, ours or calicoctl's, to the Kubernetes datastore, which stays locked")
    .requiredOption('-f, --file <file>', 'export file')
    .option('--replace', 'replace objects that are there with another content; without it nothing is written then')
    .addHelpText(
      'after',
      `${examples('calico import plan.json --file etcd-data')}\nIt can be run again at any point: equal objects are skipped. At the end everything is read back; exit code 1 when it differs.\n`,
    )
    .action(
      action(context, (planFile: string, { file, replace, json }: Options & { file: string; replace?: boolean }) =>
        withCalico(terminal, planFile, async (steps) => {
          const { activities, scope, plan } = steps;
          const { manifests, writers, maxWritesPerSecond } = plan;
          const kept = await steps.keepFile(file);
          const encoding = await encodingOf(steps, kept);
          const { inventory } = await activities.inspectKubernetes({ scope });
          const manifest = manifests && (await activities.readManifests({ scope, manifests })).kubernetes.artifact;
          await activities.ensureCrds({ scope, manifest });
          await activities.lockKubernetes({ scope, file: kept });
          const existing = replace ? 'replace' : plan.existing;
          const request = { scope, file: kept, inventory, encoding, existing, writers, maxWritesPerSecond } as const;
          const result = await activities.importCalico(request);
          const nodes = await activities.annotateNodes({ scope, file: kept, encoding });
          // A definition that does not know a field drops it in silence; only reading back tells.
          const { records } = await activities.compareImported({ scope, file: kept, encoding, inventory });
          const bad = records.filter(({ outcome }) => outcome === 'fail');
          if (json) printJson(terminal, { ...result, nodes, inventory, equal: bad.length === 0, records });
          else
            printLines(terminal, [
              ...importLines(result.kinds),
              `${nodes.nodes} nodes, ${nodes.changed} annotated${nodes.missingTotal > 0 ? `; Kubernetes does not know ${nodes.missingTotal} of them: ${nodes.missing.join(', ')}` : ''}.`,
              `${result.objects} objects are there${result.objectsPerSecond > 0 ? `, written at ${Math.round(result.objectsPerSecond)} a second` : ', all of them before'}. The datastore stays locked.`,
              `What was there before is kept in ${inventory.url}.`,
              ...bad.flatMap(({ name, differences = [] }) => [
                `${name} was read back different:`,
                ...differences.map((line) => `  ${plainText(line)}`),
              ]),
            ]);
          return bad.length === 0 ? 0 : 1;
        }),
      ),
    );
}

function addDiff(calico: Command, context: Context): void {
  const { terminal } = context;
  step(
    calico,
    'diff',
    'compare etcd as it is now, or an export file, with the Kubernetes datastore; exit code 1 when they differ',
  )
    .option('-f, --file <file>', 'export file; without it etcd is read')
    .addHelpText('after', examples('calico diff plan.json', 'calico diff plan.json --file etcd-data'))
    .action(
      action(context, (planFile: string, { file, json }: Options & { file?: string }) =>
        withCalico(terminal, planFile, async (steps) => {
          const kept = file === undefined ? (await exportNow(steps)).file : await steps.keepFile(file);
          const encoding = await encodingOf(steps, kept);
          const { records } = await compareNow(steps, kept, encoding);
          return printRecords(terminal, records, json);
        }),
      ),
    );
}

/** A datastore that is unlocked is in use: its lock is not compared, and what Calico writes by itself is a remark. */
async function compareNow({ activities, scope }: CalicoSteps, file: ArtifactReference, encoding: Encoding) {
  const unlocked = (await activities.kubernetesLockState({ scope })).state === 'ready';
  return activities.compareImported({ scope, file, encoding, unlocked, running: unlocked });
}

function addVerify(calico: Command, context: Context): void {
  const { terminal } = context;
  step(
    calico,
    'verify',
    'prove an import: every object read back, each kind listed, IPAM consistent; exit code 1 when not',
  )
    .option('-f, --file <file>', 'export file; without it etcd is read')
    .addHelpText('after', examples('calico verify plan.json', 'calico verify plan.json --file etcd-data'))
    .action(
      action(context, (planFile: string, { file, json }: Options & { file?: string }) =>
        withCalico(terminal, planFile, async (steps) => {
          const { activities, scope } = steps;
          const exported = file === undefined ? await exportNow(steps) : undefined;
          const kept = exported?.file ?? (await steps.keepFile(file ?? ''));
          const encoding = await encodingOf(steps, kept);
          const { records } = await compareNow(steps, kept, encoding);
          const kinds = await activities.listEachKind({ scope, file: kept, encoding });
          const ipam = await activities.checkIpam({ scope, file: kept, snapshot: exported?.snapshot.artifact });
          return printRecords(terminal, [...records, ...kinds, ...ipam], json);
        }),
      ),
    );
}

function addSnapshot(calico: Command, context: Context): void {
  const { terminal } = context;
  step(calico, 'snapshot', 'copy everything below the prefix of etcd to a file, restorable key for key')
    .requiredOption('-o, --output <file>', 'file to write')
    .addHelpText('after', examples('calico snapshot plan.json --output etcd.jsonl'))
    .action(
      action(context, (file: string, { output, json }: Options & { output: string }) =>
        withCalico(terminal, file, async ({ activities, scope, artifacts }) => {
          const snapshot = await activities.takeEtcdSnapshot({ scope, name: 'etcd.jsonl' });
          const { evidence } = await activities.verifyEtcdSnapshot({ scope, snapshot });
          await copyFile(await artifacts.fetch(snapshot.artifact), output);
          const { keys, revision, bytes } = snapshot;
          if (json) printJson(terminal, { output, keys, revision, bytes, evidence });
          else printLines(terminal, [...evidence, `${keys} keys at revision ${revision} are in ${output}.`]);
          return 0;
        }),
      ),
    );
  step(calico, 'restore', 'put a snapshot back into etcd, key for key; the datastore must be locked or empty')
    .requiredOption('-f, --file <file>', 'snapshot')
    .option('--dry-run', 'only count what would be written and deleted')
    .addHelpText('after', examples('calico restore plan.json --file etcd.jsonl --dry-run'))
    .action(
      action(context, (planFile: string, { file, dryRun, json }: Options & { file: string; dryRun?: boolean }) =>
        withCalico(terminal, planFile, async ({ activities, scope, keepFile }) => {
          const restored = await activities.restoreEtcdSnapshot({ scope, artifact: await keepFile(file), dryRun });
          const { written, deleted, equal } = restored;
          if (json) printJson(terminal, { ...restored, dryRun: dryRun ?? false });
          else
            printLines(terminal, [
              `${written} keys ${dryRun ? 'would be written' : 'written'}, ${deleted} ${dryRun ? 'would be deleted' : 'deleted'}, ${equal} equal.`,
            ]);
          return 0;
        }),
      ),
    );
}

/** By the plan, then by the images of its manifest, then by the version in the file. */
async function encodingOf(
  { plan, artifacts, activities, scope }: CalicoSteps,
  file: ArtifactReference,
): Promise<Encoding> {
  const { manifests } = plan;
  const manifest = manifests && (await activities.readManifests({ scope, manifests })).kubernetes;
  const spec = (await readFile(artifacts, file)).clusterInformation?.spec;
  const version = isObject(spec) && typeof spec.calicoVersion === 'string' ? spec.calicoVersion : undefined;
  return decideEncoding(plan, manifest?.calicoVersion, version).encoding;
}

function printRecords(terminal: Terminal, records: ValidationRecord[], json: boolean | undefined): ExitCode {
  const bad = records.filter(({ outcome }) => outcome === 'fail' || outcome === 'unverifiable');
  if (json) printJson(terminal, { equal: bad.length === 0, records });
  else {
    const rows = records.map(({ name, outcome, source, target }) => [outcome, name, source ?? '', target ?? '']);
    printLines(terminal, [
      ...alignedRows(rows),
      ...records.flatMap(({ name, differences = [] }) =>
        differences.length > 0 ? [`${name}:`, ...differences.map((line) => `  ${plainText(line)}`)] : [],
      ),
      bad.length === 0
        ? `All ${records.length} comparisons passed.`
        : `${bad.length} of ${records.length} comparisons did not pass.`,
    ]);
  }
  return bad.length === 0 ? 0 : 1;
}

function accountLines(kinds: KindAccount[]): string[] {
  return alignedRows([
    ['kind', 'in etcd', 'migrated', 'made anew', 'refused'],
    ...kinds.map(({ kind, ...counts }) => [
      kind,
      ...[counts.source, counts.migrated, counts.derived, counts.refused].map(String),
    ]),
  ]);
}

function importLines(kinds: KindImport[]): string[] {
  return alignedRows([
    ['kind', 'wanted', 'created', 'equal', 'replaced'],
    ...kinds.map(({ kind, ...counts }) => [
      kind,
      ...[counts.wanted, counts.created, counts.equal, counts.replaced].map(String),
    ]),
  ]);
}
