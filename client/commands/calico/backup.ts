// `cutover calico snapshot` and `restore`: etcd below the prefix, key for key.
import { copyFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { withCalico } from '../../calico-steps';
import { printJson, printLines } from '../../output';
import { action, examples, type Context } from '../command';
import { step, type Options } from './step';

export function addBackup(calico: Command, context: Context): void {
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
