// `cutover calico …`: the steps of Calico's own document one at a time, by the same activities that the workflow runs, without Temporal.
// Every step looks before it acts and can be run again; where both datastores are comes from a plan.
import { examples, type AddCommand } from '../command';
import { addBackup } from './backup';
import { addExport, addImport } from './data';
import { addLocks } from './locks';
import { addDiff, addVerify } from './proof';

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
  addBackup(calico, context);
};
