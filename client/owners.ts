// Whose the things on two databases are: grouped by the key in their names, and looked up in Temporal. What Temporal does not know is
// never called ended: it may run under another server or namespace.
import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import type { OwnedThing } from '../activities/postgres/stream/orphans';
import { migrationKey } from '../activities/postgres/stream/names';
import { guardianId, migrationOfGuardian, slotGuardianType } from '../workflows/slot-guardian-messages';

/** All that one migration has on the two databases. */
export interface Owner {
  /** Ten hex digits of its id; undefined for what is nobody's any more. */
  key?: string;
  /** Workflow id, where something tells it. */
  migration?: string;
  things: OwnedThing[];
  workflow: WorkflowState;
  guardianRuns: boolean;
}

/** `unknown`: this Temporal has no such workflow, or could not be asked. */
export type WorkflowState =
  'running' | 'completed' | 'failed' | 'cancelled' | 'terminated' | 'timed out' | 'unknown' | 'none';

/** In the order in which their things were found. */
export function ownersOf(things: OwnedThing[]): Owner[] {
  const owners = new Map<string, Owner>();
  for (const thing of things) {
    const id = thing.key ?? '';
    const owner = owners.get(id) ?? {
      ...(thing.key === undefined ? {} : { key: thing.key }),
      things: [],
      workflow: thing.key === undefined ? 'none' : 'unknown',
      guardianRuns: false,
    };
    owner.migration ??= thing.migration;
    owner.things.push(thing);
    owners.set(id, owner);
  }
  return [...owners.values()];
}

/** Fills in what Temporal knows of them. @throws whatever the client throws when Temporal cannot be asked */
export async function askTemporal(client: Client, owners: Owner[]): Promise<void> {
  const wanted = new Map(owners.flatMap((owner) => (owner.key === undefined ? [] : [[owner.key, owner] as const])));
  if (wanted.size === 0) return;
  await nameByList(client, wanted);
  for (const owner of wanted.values()) {
    if (owner.migration === undefined) continue;
    // Asked one by one: lists are a moment behind.
    owner.workflow = await stateOf(client, owner.migration);
    owner.guardianRuns = (await stateOf(client, guardianId(owner.migration))) === 'running';
  }
}

/** Slots and subscriptions hold nothing but the key: the ids of all migrations and guardians are tried, those that run first. */
async function nameByList(client: Client, wanted: Map<string, Owner>): Promise<void> {
  const types = `WorkflowType IN ('postgresMigration', '${slotGuardianType}')`;
  for (const running of ["ExecutionStatus = 'Running'", "ExecutionStatus != 'Running'"]) {
    if ([...wanted.values()].every(({ migration }) => migration !== undefined)) return;
    for await (const { workflowId } of client.workflow.list({ query: `${types} AND ${running}` })) {
      const ids = [workflowId, migrationOfGuardian(workflowId)];
      for (const id of ids) {
        const owner = id === undefined ? undefined : wanted.get(migrationKey(id));
        if (owner) owner.migration ??= id;
      }
    }
  }
}

async function stateOf(client: Client, id: string): Promise<WorkflowState> {
  try {
    const { status } = await client.workflow.getHandle(id).describe();
    switch (status.name) {
      case 'COMPLETED':
        return 'completed';
      case 'FAILED':
        return 'failed';
      case 'CANCELLED':
        return 'cancelled';
      case 'TERMINATED':
        return 'terminated';
      case 'TIMED_OUT':
        return 'timed out';
      default:
        // Whatever else there is, it may go on.
        return 'running';
    }
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'unknown';
    throw error;
  }
}
