import { gateOpen, startWorkflowServer, until, type WorkflowServer } from '../fixtures/workflow-rig';
import { approveSignal, examples } from '../../workflows/messages';

let server: WorkflowServer;
beforeAll(async () => {
  server = await startWorkflowServer();
}, 300_000);
afterAll(() => server.stop());

interface Metadata {
  definition: {
    signalDefinitions: { name: string; description: string }[];
    queryDefinitions: { name: string; description: string }[];
    updateDefinitions: { name: string; description: string }[];
  };
  currentDetails: string;
}

describe('what the Web UI shows', () => {
  it('describes every message, with a literal example payload for those that take one', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start();
      await until(handle, gateOpen('start'));
      const { definition } = await handle.query<Metadata>('__temporal_workflow_metadata');
      const described = [...definition.signalDefinitions, ...definition.updateDefinitions].filter(({ name }) => name);
      expect(described.map(({ name }) => name).sort()).toEqual([...Object.keys(examples), 'decide'].sort());
      for (const { description } of described) expect(description).toMatch(/Example: \{.+\}$/);
      expect(definition.queryDefinitions.map(({ name }) => name)).toEqual(
        expect.arrayContaining(['status', 'report', 'journal']),
      );
    }));

  it('has the exact command for the open gate in current details', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start();
      await until(handle, gateOpen('start'));
      const { currentDetails } = await handle.query<Metadata>('__temporal_workflow_metadata');
      expect(currentDetails).toContain(
        `temporal workflow signal -w ${handle.workflowId} --name approve --input '{"gate":"start","by":"YOU"}'`,
      );
    }));

  it('has a summary on every activity and every timer', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start({ gates: { start: {}, cutover: 'auto', accept: 'auto', 'retire-source': 'auto' } });
      await until(handle, gateOpen('start'));
      await handle.signal(approveSignal, { gate: 'start', by: 'anna' });
      await handle.result();
      const { events } = await handle.fetchHistory();
      const shown = (events ?? []).filter(
        (event) => event.activityTaskScheduledEventAttributes ?? event.timerStartedEventAttributes,
      );
      expect(shown.length).toBeGreaterThan(30);
      const without = shown.filter(({ userMetadata }) => !userMetadata?.summary?.data?.length);
      expect(
        without.map(
          ({ activityTaskScheduledEventAttributes }) =>
            activityTaskScheduledEventAttributes?.activityType?.name ?? 'timer',
        ),
      ).toEqual([]);
    }));

  it('needs fewer than 400 events for a migration, whatever it moves', () =>
    server.withWorker(async ({ start }) => {
      const handle = await start({ gates: 'auto' });
      await handle.result();
      expect((await handle.describe()).historyLength).toBeLessThan(400);
    }));
});
