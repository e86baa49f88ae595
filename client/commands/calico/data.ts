// `cutover calico export` and `import`: the data itself, by way of a file that calicoctl reads and writes as well.
import { copyFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { KindAccount, KindImport } from '../../../journal/types';
import { withCalico } from '../../calico-steps';
import { CommandFailed } from '../../context';
import { alignedRows, plainText, printJson, printLines } from '../../output';
import { action, examples, type Context } from '../command';
import { encodingOf, exportNow, step, type Options } from './step';

export function addExport(calico: Command, context: Context): void {
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

export function addImport(calico: Command, context: Context): void {
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
