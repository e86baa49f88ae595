// One migration as commands see it: its status when a worker answers, and otherwise what the server itself knows.
import { WorkflowNotFoundError, type WorkflowExecutionDescription } from '@temporalio/client';
import { defaultPayloadConverter, defineSearchAttributeKey, rootCause, type Payload } from '@temporalio/common';
import { searchAttributeNames, statusQuery, type MigrationResult, type MigrationStatus } from '../workflows/messages';
import { noWorker, type Server } from './connection';
import { wrongCall } from './context';

const queryTimeoutMs = 5_000;

/** What is known without a worker. */
export interface ServerView {
  id: string;
  /** Of Temporal: RUNNING, COMPLETED, FAILED, CANCELLED, TERMINATED, TIMED_OUT. */
  workflowStatus: string;
  kind?: string;
  phase?: string;
  gate?: string;
  startedAt: string;
  endedAt?: string;
  /** What runs now, or waits to be tried again. */
  activities: RunningActivity[];
}

/** An activity that runs or is about to be tried again, with what it last reported. */
export interface RunningActivity {
  type: string;
  attempt: number;
  /** Last heartbeat: plain JSON, each activity's own. */
  progress?: unknown;
  lastFailure?: string;
}

/** @throws CommandFailed, exit code 2, when there is no such migration */
export async function describe({ client }: Server, id: string): Promise<ServerView> {
  try {
    return viewOf(await client.workflow.getHandle(id).describe());
  } catch (error) {
    throw notFound(error, id);
  }
}

/** Makes "not found" of the server a message for people; passes anything else. */
export function notFound(error: unknown, id: string): unknown {
  return error instanceof WorkflowNotFoundError
    ? wrongCall(`There is no migration "${id}". "cutover list" shows those there are.`)
    : error;
}

function viewOf(description: WorkflowExecutionDescription): ServerView {
  const [kind, phase, gate] = searchAttributeNames.map((name) =>
    description.typedSearchAttributes.get(defineSearchAttributeKey(name, 'KEYWORD')),
  );
  return {
    id: description.workflowId,
    workflowStatus: description.status.name,
    kind,
    phase,
    gate,
    startedAt: description.startTime.toISOString(),
    endedAt: description.closeTime?.toISOString(),
    activities: (description.raw.pendingActivities ?? []).map((pending) => ({
      type: pending.activityType?.name ?? 'activity',
      attempt: pending.attempt ?? 1,
      progress: decode(pending.heartbeatDetails?.payloads?.[0]),
      lastFailure: pending.lastFailure?.message ?? undefined,
    })),
  };
}

function decode(payload: Payload | null | undefined): unknown {
  if (!payload) return undefined;
  try {
    return defaultPayloadConverter.fromPayload(payload);
  } catch {
    return undefined;
  }
}

/** The status from the workflow itself; `why` when no worker answered. @throws CommandFailed when there is no such migration */
export async function queryStatus(
  server: Server,
  id: string,
): Promise<{ status: MigrationStatus; why?: undefined } | { status?: undefined; why: string }> {
  try {
    const status = await server.connection.withDeadline(Date.now() + queryTimeoutMs, () =>
      server.client.workflow.getHandle(id).query(statusQuery),
    );
    return { status };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw notFound(error, id);
    return { why: whyUnanswered(error) };
  }
}

/** A query that nobody answered, in words. */
export function whyUnanswered(error: unknown): string {
  const text =
    error instanceof Error
      ? `${error.message} ${error.cause instanceof Error ? error.cause.message : ''}`
      : String(error);
  if (/no poller|DEADLINE|deadline|timed out|timeout/i.test(text)) return noWorker;
  return `The workflow did not answer: ${text.split('\n')[0]?.trim()}`;
}

/** What a closed migration returned; undefined when it failed, was cancelled or terminated. */
export async function resultOf(
  { client }: Server,
  id: string,
): Promise<{ result?: MigrationResult; failure?: string }> {
  try {
    const result = await client.workflow.getHandle<(plan: unknown) => Promise<MigrationResult>>(id).result();
    return { result };
  } catch (error) {
    return { failure: rootCause(error instanceof Error && error.cause ? error.cause : error) ?? String(error) };
  }
}
