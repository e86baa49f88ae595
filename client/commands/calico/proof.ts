// `cutover calico diff` and `verify`: whether both sides say the same, and whether the target agrees with itself.
import type { Command } from 'commander';
import type { ArtifactReference } from '../../../activities/artifacts/store';
import type { Encoding } from '../../../activities/calico/scope';
import type { ValidationRecord } from '../../../journal/types';
import { withCalico, type CalicoSteps } from '../../calico-steps';
import type { ExitCode, Terminal } from '../../context';
import { alignedRows, plainText, printJson, printLines } from '../../output';
import { action, examples, type Context } from '../command';
import { encodingOf, exportNow, step, type Options } from './step';

export function addDiff(calico: Command, context: Context): void {
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

export function addVerify(calico: Command, context: Context): void {
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

/** A datastore that is unlocked is in use: its lock is not compared, and what Calico writes by itself is a remark. */
async function compareNow({ activities, scope }: CalicoSteps, file: ArtifactReference, encoding: Encoding) {
  const unlocked = (await activities.kubernetesLockState({ scope })).state === 'ready';
  return activities.compareImported({ scope, file, encoding, unlocked, running: unlocked });
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
