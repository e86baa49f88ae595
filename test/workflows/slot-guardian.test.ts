// The guardian as a workflow: real Temporal, a watch that answers what the test says. The migration that it tells is played by a second
// guardian, which takes any signal.
import { randomUUID } from 'node:crypto';
import { cancelled, heartbeat, sleep } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure, defineSearchAttributeKey } from '@temporalio/common';
import { NativeConnection, Worker } from '@temporalio/worker';
import type { GuardReport, GuardRequest } from '../../activities/postgres/stream/guard-slots';
import type { SlotGuardianInput } from '../../workflows/slot-guardian';
import { dismissSignal, guardianId, migrationOfGuardian } from '../../workflows/slot-guardian-messages';
import { until } from '../fixtures/until';
import { startWorkflowServer, type WorkflowServer } from '../fixtures/workflow-rig';

type Answer = Partial<GuardReport> | Error;

let server: WorkflowServer;
let native: NativeConnection;
beforeAll(async () => {
  server = await startWorkflowServer();
  native = await NativeConnection.connect({ address: server.server.address });
}, 300_000);
afterAll(async () => {
  await native.close();
  await server.stop();
});

interface Guarded {
  guardian: WorkflowHandle;
  migration: WorkflowHandle;
  asked: GuardRequest[];
  /** `~` when the watch was cancelled and has stopped. */
  events: string[];
}

/** The watch gives these answers one after the other; after the last it is held until it is cancelled. */
async function guarded(
  answers: Answer[],
  test: (given: Guarded) => Promise<void>,
  timing?: SlotGuardianInput['timing'],
): Promise<void> {
  const { client, bundle } = server;
  const asked: GuardRequest[] = [];
  const events: string[] = [];
  const held = async (): Promise<never> => {
    const stop = cancelled();
    stop.catch(() => undefined);
    for (;;) {
      heartbeat();
      await Promise.race([sleep(50), stop]);
    }
  };
  const taskQueue = randomUUID();
  const worker = await Worker.create({
    connection: native,
    taskQueue,
    workflowBundle: bundle,
    workflowThreadPoolSize: 1,
    maxHeartbeatThrottleInterval: '100ms',
    activities: {
      guardSlots: async (request: GuardRequest): Promise<GuardReport> => {
        if (request.scope.migration === 'played') return held();
        const answer = answers[asked.length];
        asked.push(request);
        if (answer instanceof Error) throw answer;
        if (answer)
          return { level: 'fine', detail: '', slots: 1, retainedBytes: 0, budgetBytes: 1, dropped: [], ...answer };
        try {
          return await held();
        } finally {
          events.push('~');
        }
      },
    },
  });
  const id = `migration-${randomUUID()}`;
  const start = (workflowId: string, migration: string): Promise<WorkflowHandle> =>
    client.workflow.start('slotGuardian', {
      taskQueue,
      workflowId,
      args: [
        {
          scope: { migration, source: { env: 'S' }, target: { env: 'T' }, tables: { include: ['*.*'], exclude: [] } },
          settings: { walBudgetMegabytes: 100 },
          migration: id,
          ...(timing && { timing }),
        } satisfies SlotGuardianInput,
      ],
    });
  await worker.runUntil(async () => {
    const migration = await start(id, 'played');
    const guardian = await start(guardianId(id), id);
    try {
      await test({ guardian, migration, asked, events });
    } finally {
      for (const handle of [guardian, migration])
        if ((await handle.describe()).status.name === 'RUNNING') await handle.terminate('the test is over');
    }
  });
  await server.replay(client.workflow.getHandle(guardianId(id)));
}

async function signalsOf(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).flatMap(({ workflowExecutionSignaledEventAttributes: signal }) =>
    signal ? [`${signal.signalName} ${Buffer.from(signal.input?.payloads?.[0]?.data ?? []).toString()}`] : [],
  );
}

it('tells the migration when the level changes, and only then, and watches on with the new level', () =>
  guarded(
    [{ level: 'fine' }, { level: 'slow', detail: 'much' }, { level: 'slow' }, { level: 'drop', detail: 'too much' }],
    async ({ migration, guardian, asked }) => {
      await until('it watches for the fifth time', () => asked.length === 5);
      expect(asked.map(({ level }) => level)).toEqual(['fine', 'fine', 'slow', 'slow', 'drop']);
      expect(asked[0]).toMatchObject({ walBudgetMegabytes: 100, scope: { migration: migration.workflowId } });
      await until('both changes have been told', async () => (await signalsOf(migration)).length === 2);
      expect(await signalsOf(migration)).toEqual([
        'slot-guardian {"level":"slow","detail":"much"}',
        'slot-guardian {"level":"drop","detail":"too much"}',
      ]);
      const { typedSearchAttributes, type } = await guardian.describe();
      expect(type).toBe('slotGuardian');
      const shown = (name: string) => typedSearchAttributes.get(defineSearchAttributeKey(name, 'KEYWORD'));
      expect([shown('MigrationKind'), shown('MigrationPhase')]).toEqual(['slot-guardian', 'drop']);
      const { currentDetails } = await guardian.query<{ currentDetails: string }>('__temporal_workflow_metadata');
      expect(currentDetails).toMatch(/## drop\n\ntoo much\n/);
    },
  ));

it('goes on when its migration is terminated, and when a watch fails', () =>
  guarded(
    [ApplicationFailure.retryable('no worker has the secret'), { level: 'alert' }, { level: 'pause' }],
    async ({ guardian, migration, asked }) => {
      await migration.terminate('by hand');
      await until('it watches after the last change', () => asked.length === 4);
      expect(asked.at(-1)?.level).toBe('pause');
      expect((await guardian.describe()).status.name).toBe('RUNNING');
    },
  ));

it('ends when it is dismissed, after its watch has stopped', () =>
  guarded([], async ({ guardian, asked, events }) => {
    await until('it watches', () => asked.length === 1);
    await guardian.signal(dismissSignal);
    expect(await guardian.result()).toEqual({ why: 'dismissed' });
    expect(events).toEqual(['~']);
  }));

it('ends by itself when the slots have been gone for long enough, but not while the migration runs', () => {
  const seen = new Date(0).toISOString();
  const gone = { slots: 0, slotsSeenIso: seen, goneSinceIso: seen };
  const before = { slots: 0, slotsSeenIso: seen };
  return guarded([before, { ...gone, goneSinceIso: new Date().toISOString() }, gone], async (given) => {
    const { guardian, migration, asked } = given;
    await until('it watches on after it has asked the migration', () => asked.length === 4);
    expect(await signalsOf(migration)).toEqual(['slot-guardian {"level":"fine","detail":""}']);
    expect(asked.at(-1)).toMatchObject({ slotsSeenIso: seen, goneSinceIso: seen });
    expect((await guardian.describe()).status.name).toBe('RUNNING');
  });
});

it('ends by itself when the slots are gone and so is the migration', () => {
  const seen = new Date(0).toISOString();
  const answers: Answer[] = [{ level: 'alert' }];
  return guarded(answers, async ({ guardian, migration, asked }) => {
    await migration.terminate('by hand');
    answers.push({ slots: 0, slotsSeenIso: seen }, { slots: 0, slotsSeenIso: seen, goneSinceIso: seen });
    await until('it watches', () => asked.length >= 1);
    expect(await guardian.result()).toEqual({ why: 'no slot is there any more' });
    expect(asked).toHaveLength(3);
  });
});

it('keeps its history short over months, and forgets nothing of what it knows', () => {
  const seen = new Date(0).toISOString();
  const answers = Array.from({ length: 12 }, (): Answer => ({ level: 'alert', slotsSeenIso: seen }));
  return guarded(
    answers,
    async ({ guardian, asked, migration }) => {
      const first = (await guardian.describe()).runId;
      await until('it has watched for long', () => asked.length === 13);
      expect(asked.at(-1)).toMatchObject({ level: 'alert', slotsSeenIso: seen });
      const { runId, historyLength } = await guardian.describe();
      expect(runId).not.toBe(first);
      expect(historyLength).toBeLessThan(50);
      expect(await signalsOf(migration)).toHaveLength(1);
    },
    { watchMs: 600_000, goneMs: 600_000, longestHistory: 20 },
  );
});

it('its id tells its migration', () => {
  expect(migrationOfGuardian(guardianId('orders-to-18'))).toBe('orders-to-18');
  expect(migrationOfGuardian('orders-to-18')).toBeUndefined();
});
