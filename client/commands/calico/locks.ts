// `cutover calico lock` and `unlock`: the flag that Calico's components go by, on either side.
import type { Command } from 'commander';
import { withCalico, type CalicoSteps } from '../../calico-steps';
import { CommandFailed } from '../../context';
import { printJson, printLines } from '../../output';
import { action, examples, type Context } from '../command';
import { step, type Options } from './step';

type Side = 'source' | 'target';

export function addLocks(calico: Command, context: Context): void {
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
