// Does each server reach the other as a stream will? Really tried: a subscription is made in a transaction that is rolled back, for which
// the server connects to the other one by its own means, as a replication client, with the role and password that streams will have.
// Nothing of it stays, not even when we are killed half-way. What this does not prove is told: no slot was made and no row passed.
import { describeReference } from '../../../plan/reference';
import { quoteIdentifier } from '../identifier';
import { linkOf, linkReference, type Link } from '../stream/connection-string';
import { bringConnection, keepQuiet, makeSubscription } from '../stream/create-subscription';
import { trialStream, type Stream } from '../stream/names';
import { pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';
import { goesBack, noWayBack } from './streaming';

export const replicationLinkChecks: PreflightCheck[] = [
  {
    name: 'replication-connection',
    title: 'The worker reaches the source as a replication client',
    side: 'source',
    look: fromWorker,
  },
  {
    name: 'link-to-source',
    title: 'The target’s server reaches the source as a replication client',
    side: 'both',
    look: (context) => fromServer(context, 0),
  },
  {
    name: 'link-to-target',
    title: 'The source’s server reaches the target as a replication client for the way back',
    side: 'both',
    look: (context) => (goesBack(context) ? fromServer(context, 1) : noWayBack),
  },
];

const timeoutMs = 15_000;

/** The holder of a snapshot connects like this. */
async function fromWorker(context: CheckContext): Promise<Finding> {
  const { dependencies, input, signal } = context;
  const { source } = input.scope;
  try {
    const session = await dependencies.connections.open(source, {
      side: 'source',
      purpose: 'preflight replication',
      signal,
      replication: true,
    });
    try {
      await session.query('IDENTIFY_SYSTEM');
    } finally {
      await session.end().catch(() => undefined);
    }
    return pass('the source answers replication commands');
  } catch (error) {
    signal.throwIfAborted();
    const said = saidBy(error);
    return {
      outcome: 'fail',
      found: said,
      expected: `a session for replication by ${describeReference(source)}`,
      fix: await advice(context, trialStream(input.scope.migration, 0), said),
    };
  }
}

async function fromServer(context: CheckContext, leg: 0 | 1): Promise<Finding> {
  const { dependencies, input, signal } = context;
  const stream = trialStream(input.scope.migration, leg);
  const link = await linkOf(dependencies.connections, input.scope, stream);
  try {
    const session = await dependencies.connections.open(input.scope[stream.to], {
      side: stream.to,
      purpose: 'preflight link',
      signal,
      settings: { statement_timeout: String(timeoutMs), lock_timeout: '5s' },
    });
    try {
      const subscriber = await keepQuiet(session);
      await bringConnection(session, link);
      await session.query('begin');
      await makeSubscription(session, stream, subscriber, 'any', link);
      await session.query('rollback');
    } finally {
      // Whatever was begun ends with its session.
      await session.end().catch(() => undefined);
    }
  } catch (error) {
    signal.throwIfAborted();
    return unlinked(context, stream, link, saidBy(error));
  }
  return pass(
    `the ${stream.to} connected to the ${stream.from} by ${link.described} as a replication client (a subscription was made and taken back; no slot was made, no row passed)`,
  );
}

async function unlinked(context: CheckContext, stream: Stream, link: Link, said: string): Promise<Finding> {
  const fix = await advice(context, stream, said);
  const expected = `that the server of the ${stream.to} connects to the ${stream.from} by ${link.described}`;
  // Whether the role may subscribe is the business of another check; then nothing was tried here.
  if (/permission denied to create subscription|must be superuser to create subscriptions/.test(said)) {
    return {
      outcome: 'warn',
      found: `not tried: ${said}. The worker alone has reached the ${stream.from}`,
      expected,
      fix: fromShell(stream),
    };
  }
  return { outcome: 'fail', found: said, expected, fix };
}

/** What the server said, without what an activity would have added. */
function saidBy(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  if (/statement timeout/.test(text)) return `no answer from the other server after ${timeoutMs / 1_000} s`;
  return text.split(/\.? It is tried again by itself/)[0]?.trim() ?? text;
}

async function advice(context: CheckContext, stream: Stream, said: string): Promise<string> {
  const { connections } = context.dependencies;
  const reference = linkReference(context.input.scope, stream);
  const { user, database, host, port } = await connections.address(reference);
  const { from, to } = stream;
  if (/replication role|REPLICATION attribute|to start walsender|permission denied to start WAL sender/i.test(said)) {
    return `ALTER ROLE ${quoteIdentifier(user)} REPLICATION; -- on the ${from}`;
  }
  if (/pg_hba/.test(said)) {
    return `echo 'host "${database}" "${user}" <address of the ${to}>/32 scram-sha-256' >> pg_hba.conf # of the ${from}; then SELECT pg_reload_conf()`;
  }
  if (/password|authentication|role .* does not exist|database .* does not exist/i.test(said)) {
    return `correct user, password and database behind ${describeReference(reference)}`;
  }
  if (/max_wal_senders|too many|remaining connection slots/i.test(said)) {
    return `ALTER SYSTEM SET max_wal_senders = 10; -- on the ${from}, then restart it; max_connections likewise`;
  }
  const field = from === 'source' ? 'cdc.sourceFromTarget' : 'cdc.targetFromSource';
  return `pg_isready -h ${host} -p ${port} # on the machine of the ${to}; where the ${from} has another address there, name it as ${field} in the plan`;
}

function fromShell({ from, to }: Stream): string {
  return `psql 'host=… user=… dbname=… replication=database' -c IDENTIFY_SYSTEM # on the machine of the ${to}, towards the ${from}`;
}
