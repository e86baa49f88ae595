// Recorded histories against the workflow code of today. Red after a change means that running migrations would break: use `patched()`,
// never record anew to get green. A new path: add a scenario, then `RECORD_HISTORIES=1 npx jest test/replay`.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils';
import { startReplays, startWorkflowServer } from '../fixtures/workflow-rig';
import { scenarios } from './scenarios';

const folder = join(__dirname, 'histories');
const fileOf = (name: string): string => join(folder, `${name}.json`);
const recording = process.env.RECORD_HISTORIES === '1';

/** Stack traces and identities name the machine that recorded; a replay needs neither. */
function withoutMachine(history: string): string {
  return JSON.stringify(JSON.parse(history), (key, value: unknown) =>
    key === 'stackTrace' ? undefined : key === 'identity' ? 'recorded' : value,
  );
}

let replays: ReturnType<typeof startReplays>;
beforeAll(() => {
  replays = startReplays();
});
afterAll(() => replays.endReplays());

describe('recorded histories', () => {
  it('are there for every scenario, and no other', async () => {
    if (recording) {
      const server = await startWorkflowServer();
      for (const [name, scenario] of Object.entries(scenarios)) {
        if (existsSync(fileOf(name))) continue;
        await server.withWorker(async (rig) => {
          const handle = await scenario(rig);
          writeFileSync(fileOf(name), `${withoutMachine(historyToJSON(await handle.fetchHistory()))}\n`);
        });
      }
      await server.stop();
    }
    expect(readdirSync(folder).map((file) => basename(file, '.json'))).toEqual(Object.keys(scenarios).sort());
  }, 300_000);

  it.each(Object.keys(scenarios))('%s replays against the code of today', async (name) => {
    const history = historyFromJSON(JSON.parse(readFileSync(fileOf(name), 'utf8')));
    // Children are named after their migration.
    const recorded = history.events?.[0]?.workflowExecutionStartedEventAttributes?.workflowId;
    await replays.replay({ workflowId: recorded || `test-${name}`, fetchHistory: () => Promise.resolve(history) });
  });
});
