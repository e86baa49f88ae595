// One migration of the demo: started as a person would start it, told as it goes, its gates approved unless somebody else decides.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client, WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import pc from 'picocolors';
import type { GateRecord } from '../../journal/types';
import type { PostgresPlanInput } from '../../plan/postgres';
import type { postgresMigration } from '../../workflows';
import {
  approveSignal,
  rollbackSignal,
  statusQuery,
  taskQueue,
  type MigrationResult,
  type MigrationStatus,
} from '../../workflows/messages';
import { Narrator, type Say } from './narrator';

const pollMs = 300;

/** What a story does besides watching. */
export interface Story {
  /** Leaves the gates to whoever types signals. */
  interactive?: boolean;
  /** Asked at every look, before the gates. */
  onStatus?: (status: MigrationStatus, move: Move) => Promise<void>;
  /** Before an open gate is approved. */
  beforeApproval?: (gate: GateRecord, status: MigrationStatus) => Promise<void>;
}

export interface Stage {
  client: Client;
  /** Of the Temporal server. */
  address: string;
  uiUrl: string;
  folder: string;
  say: Say;
}

/** Says a migration from its start to its end. Gates are approved with a word on each. */
export class Move {
  private readonly narrator: Narrator;
  private readonly announced = new Set<string>();
  private handle?: WorkflowHandleWithFirstExecutionRunId<typeof postgresMigration>;

  constructor(
    private readonly stage: Stage,
    private readonly plan: PostgresPlanInput,
  ) {
    this.narrator = new Narrator(stage.say, stage.address);
  }

  async run(story: Story): Promise<MigrationResult> {
    const handle = await this.start();
    this.handle = handle;
    let result: MigrationResult | undefined;
    const ended = handle.result().then((value) => (result = value));
    ended.catch(() => undefined);
    for (;;) {
      const status = await handle.query(statusQuery).catch(() => undefined);
      if (status) await this.look(status, story);
      if (result) return result;
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, pollMs))]);
    }
  }

  /** Sends `rollback`, and says what a person would type. */
  async rollBack(why: string): Promise<void> {
    const command = this.narrator.signalCommand(this.plan.name, 'rollback', `{"by":"YOU","reason":"${why}"}`);
    this.stage.say(pc.yellow('\n  The operator changes their mind. A person would type:'));
    this.stage.say(pc.cyan(`    ${command}`));
    await this.handle?.signal(rollbackSignal, { by: 'demo', reason: why });
  }

  private async start(): Promise<WorkflowHandleWithFirstExecutionRunId<typeof postgresMigration>> {
    const { client, address, uiUrl, folder, say } = this.stage;
    const workflowId = this.plan.name;
    const planFile = join(folder, `${workflowId}.plan.json`);
    writeFileSync(planFile, `${JSON.stringify(this.plan, undefined, 2)}\n`);
    say('  A person would type:');
    say(
      pc.cyan(
        `    temporal workflow start --address ${address} --task-queue ${taskQueue} --type postgresMigration --workflow-id ${workflowId} --input-file ${planFile}`,
      ),
    );
    const handle = await client.workflow.start<typeof postgresMigration>('postgresMigration', {
      taskQueue,
      workflowId,
      args: [this.plan],
      staticSummary: 'Demo: a shop moves from PostgreSQL 15 to 18',
    });
    say(`  Watch it: ${pc.cyan(`${uiUrl}/namespaces/default/workflows/${workflowId}`)}\n`);
    return handle;
  }

  private async look(status: MigrationStatus, story: Story): Promise<void> {
    this.narrator.tell(status);
    await story.onStatus?.(status, this);
    const { blocked } = status;
    if (blocked && this.isNew(blocked.failure)) {
      this.stage.say(pc.red(`  Blocked at ${blocked.step}: ${blocked.failure}`));
      if (!story.interactive)
        await this.handle?.signal(rollbackSignal, { by: 'demo', reason: `blocked at ${blocked.step}` });
    }
    const gate = status.gates.find(({ state }) => state === 'open');
    if (!gate || !this.isNew(`${gate.name} ${gate.openedAt}`)) return;
    this.narrator.gate(gate, status.migration);
    if (story.interactive) return;
    await story.beforeApproval?.(gate, status);
    await this.handle?.signal(approveSignal, { gate: gate.name, by: 'demo', reason: 'narrated' });
  }

  private isNew(key: string): boolean {
    if (this.announced.has(key)) return false;
    this.announced.add(key);
    return true;
  }
}

/** In the middle: chunks are done, and others are not. With little data nobody is told of that in time; then it counts once it lasts. */
export function copyHasBegun({ phase, copy, steps }: MigrationStatus): boolean {
  const step = steps.find(({ id }) => id === 'copy-data');
  // Of little data the copy is over before anybody has looked.
  if (step?.state === 'done' && (phase === 'copy' || phase === 'validate')) return true;
  if (phase !== 'copy' || step?.state !== 'running') return false;
  return (copy?.chunksDone ?? 0) > 0 || Date.now() - Date.parse(step.startedAt) > 1_500;
}
