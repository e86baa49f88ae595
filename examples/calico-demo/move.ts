// One migration of the demo, followed from its start to its end: told as it happens, its gates approved by the signals that a person would
// type, with things that happen to it on the way.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import pc from 'picocolors';
import type { CalicoPlanInput } from '../../plan/calico';
import type { calicoMigration } from '../../workflows';
import {
  approveSignal,
  retrySignal,
  rollbackSignal,
  statusQuery,
  taskQueue,
  type MigrationResult,
  type MigrationStatus,
} from '../../workflows/messages';
import type { Narrator, Say } from '../demo/narrator';

export interface MoveEvents {
  /** Blocked at preflight, the first time: mends what was found; then the step is tried again. Without it the migration is rolled back. */
  mend?: () => Promise<void>;
  /** Called once, while objects are being imported. */
  duringImport?: () => Promise<void>;
  /** A gate at which the operator changes their mind. */
  rollBackAt?: string;
}

interface Surroundings {
  client: Client;
  address: string;
  uiUrl: string;
  folder: string;
  narrator: Narrator;
  say: Say;
}

type Handle = WorkflowHandleWithFirstExecutionRunId<typeof calicoMigration>;

export async function runMove(
  surroundings: Surroundings,
  plan: CalicoPlanInput,
  events: MoveEvents = {},
): Promise<MigrationResult> {
  const { client, address, uiUrl, folder, narrator, say } = surroundings;
  const workflowId = plan.name;
  const planFile = join(folder, `${workflowId}.plan.json`);
  writeFileSync(planFile, `${JSON.stringify(plan, undefined, 2)}\n`);
  say('  A person would type:');
  say(
    pc.cyan(
      `    temporal workflow start --address ${address} --task-queue ${taskQueue} --type calicoMigration --workflow-id ${workflowId} --input-file ${planFile}`,
    ),
  );
  const handle = await client.workflow.start<typeof calicoMigration>('calicoMigration', {
    taskQueue,
    workflowId,
    args: [plan],
    staticSummary: 'Demo: Calico moves from etcd to the Kubernetes datastore',
  });
  say(`  Watch it: ${pc.cyan(`${uiUrl}/namespaces/default/workflows/${workflowId}`)}\n`);

  const following = new Following(handle, narrator, say, events);
  const ended = handle.result().then((result) => ({ result }));
  ended.catch(() => undefined);
  for (;;) {
    const status = await handle.query(statusQuery).catch(() => undefined);
    if (status) await following.look(status);
    const over = await Promise.race([ended, sleep(100)]);
    if (over) return over.result;
  }
}

/** Reacts once to each thing that the status shows. */
class Following {
  private readonly seen = new Set<string>();

  constructor(
    private readonly handle: Handle,
    private readonly narrator: Narrator,
    private readonly say: Say,
    private readonly events: MoveEvents,
  ) {}

  async look(status: MigrationStatus): Promise<void> {
    this.narrator.tell(status);
    await this.lookAtImport(status);
    await this.lookAtBlock(status);
    await this.lookAtGate(status);
  }

  private isNew(what: string): boolean {
    const known = this.seen.has(what);
    this.seen.add(what);
    return !known;
  }

  private async lookAtImport({ steps, imports }: MigrationStatus): Promise<void> {
    const importing = steps.some(({ id, state }) => id === 'import' && state === 'running');
    if (importing && this.isNew('import')) await this.events.duringImport?.();
    if (!imports || !this.isNew('imported')) return;
    // The lock of the target makes the cluster information before any import.
    const written = imports.filter(({ kind }) => kind !== 'ClusterInformation');
    const sum = (field: 'created' | 'equal'): number => written.reduce((total, kind) => total + kind[field], 0);
    if (sum('equal') > 0)
      this.say(
        `    The try that ended it found ${sum('equal')} objects there already and equal, and created ${sum('created')}.`,
      );
  }

  private async lookAtBlock({ blocked, checks = [] }: MigrationStatus): Promise<void> {
    if (!blocked || !this.isNew(`${blocked.step} ${blocked.failure}`)) return;
    const { workflowId } = this.handle;
    if (blocked.step === 'preflight' && this.events.mend && this.isNew('mended')) {
      this.say(pc.yellow('\n  Preflight says no, before anything was changed:'));
      for (const { title, found, fix } of checks.filter(({ outcome }) => outcome === 'fail'))
        this.say(
          `    ${pc.red('✖')} ${title}: ${found.slice(0, 220)}${fix ? pc.dim(`\n      ${fix.slice(0, 220)}`) : ''}`,
        );
      await this.events.mend();
      this.say('  Then, to have the step tried again:');
      this.say(pc.cyan(`    ${this.narrator.signalCommand(workflowId, 'retry', '{"by":"YOU"}')}`));
      await this.handle.signal(retrySignal, { by: 'demo' });
      return;
    }
    this.say(pc.red(`  Blocked at ${blocked.step}: ${blocked.failure}`));
    if (!blocked.ending) await this.rollBack(`blocked at ${blocked.step}`);
  }

  private async lookAtGate({ gates }: MigrationStatus): Promise<void> {
    const gate = gates.find(({ state }) => state === 'open');
    if (!gate || !this.isNew(`gate ${gate.name} ${gate.openedAt}`)) return;
    this.narrator.gate(gate, this.handle.workflowId);
    if (gate.name === this.events.rollBackAt) {
      this.say(
        pc.yellow(
          '\n  Here the operator changes their mind, at the last moment at which nothing is lost. A person would type:',
        ),
      );
      await this.rollBack('trying the way back');
      return;
    }
    await this.handle.signal(approveSignal, { gate: gate.name, by: 'demo', reason: 'narrated' });
  }

  private async rollBack(reason: string): Promise<void> {
    const input = JSON.stringify({ by: 'YOU', reason });
    this.say(pc.cyan(`    ${this.narrator.signalCommand(this.handle.workflowId, 'rollback', input)}`));
    await this.handle.signal(rollbackSignal, { by: 'demo', reason });
  }
}
