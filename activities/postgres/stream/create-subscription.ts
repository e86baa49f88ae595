// A subscription holds the password of the other side. It is made so that the password is in no statement: it comes as a bound value into
// a setting of the session, and the statement is put together inside the server. Where the role may, nothing of the session is shown or logged.
import type { ClientBase } from 'pg';
import { failure } from '../../errors';
import { quoteIdentifier, quoteLiteral } from '../identifier';
import type { Link } from './connection-string';
import type { Stream } from './names';

/** What would show or log statements or bound values. Those that are not there, or that the role may not set, are left as they are. */
const quiet: Readonly<Record<string, string>> = {
  track_activities: 'off',
  log_statement: 'none',
  log_min_error_statement: 'panic',
  // Without the context of an error, which holds the statement when the session is ended in the middle of it.
  log_error_verbosity: 'terse',
  log_min_duration_statement: '-1',
  log_min_duration_sample: '-1',
  log_transaction_sample_rate: '0',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  'pg_stat_statements.track': 'none',
  'pgaudit.log': 'none',
};

/** Session setting that holds the connection between the two calls; of the session alone. */
const connectionSetting = 'cutover.connection';

export interface Subscriber {
  version: number;
  superuser: boolean;
}

/** Makes the session one that shows nothing of what it does, as far as its role may. Needed once before `makeSubscription`. */
export async function keepQuiet(client: ClientBase): Promise<Subscriber> {
  const about = await client.query<{ version: string; superuser: string }>(
    `select current_setting('server_version_num') as version, rolsuper as superuser from pg_roles where rolname = current_user`,
  );
  const version = Number(about.rows[0]?.version);
  const superuser = about.rows[0]?.superuser === 't';
  const may = version >= 150_000 ? `has_parameter_privilege(s.name, 'SET')` : String(superuser);
  await client.query(
    `select set_config(s.name, wanted.value, false)
       from pg_settings s join unnest($1::text[], $2::text[]) as wanted(name, value) on wanted.name = s.name
      where s.context = 'user' or (s.context = 'superuser' and ${may})`,
    [Object.keys(quiet), Object.values(quiet)],
  );
  return { version, superuser };
}

/** Brings the connection into the session, from where `makeSubscription` and `reconnectSubscription` take it. */
export async function bringConnection(client: ClientBase, link: Link): Promise<void> {
  await client.query(`select set_config('${connectionSetting}', $1, false) is not null as brought`, [link.conninfo]);
}

/**
 * Makes a subscription to a slot that is there or will be, without copying. It is not enabled. In a session that was made quiet and has the connection.
 * @throws SourceUnavailable, TargetUnavailable (retryable) when the server cannot reach the other one, with its reason
 */
export async function makeSubscription(
  client: ClientBase,
  stream: Stream,
  { version, superuser }: Subscriber,
  origin: 'any' | 'none',
  link: Link,
): Promise<void> {
  const name = quoteIdentifier(stream.name);
  const options = [
    'create_slot = false',
    'copy_data = false',
    'enabled = false',
    `slot_name = ${name}`,
    ...(version >= 160_000 ? [`origin = ${origin}`] : []),
    // As before 16: rows of tables with forced row security are applied too. A role that is no superuser acts as each table's owner.
    ...(version >= 160_000 && superuser ? ['run_as_owner = true'] : []),
  ].join(', ');
  await withConnection(
    client,
    `'create subscription ${name} connection ' || quote_literal(current_setting('${connectionSetting}')) || ' publication ${name} with (${options})'`,
    stream,
    link,
  );
}

/** Gives a subscription that is there the connection that the session has. */
export async function reconnectSubscription(client: ClientBase, stream: Stream, link: Link): Promise<void> {
  await withConnection(
    client,
    `'alter subscription ${quoteIdentifier(stream.name)} connection ' || quote_literal(current_setting('${connectionSetting}'))`,
    stream,
    link,
  );
}

/** An error is raised anew, so that its context does not hold the statement. */
async function withConnection(client: ClientBase, statement: string, stream: Stream, link: Link): Promise<void> {
  const body = `
declare
  said text; detail text; hint text; state text;
begin
  execute ${statement};
exception when query_canceled or others then
  get stacked diagnostics said = message_text, detail = pg_exception_detail, hint = pg_exception_hint, state = returned_sqlstate;
  raise exception using errcode = state, message = said, detail = detail, hint = hint;
end`;
  try {
    await client.query(`do ${quoteLiteral(body)}`);
  } catch (error) {
    throw withoutSecrets(error, stream, link);
  }
}

function withoutSecrets(error: unknown, { name, from, to }: Stream, link: Link): unknown {
  if (!(error instanceof Error)) return error;
  for (const field of ['message', 'detail', 'hint', 'where', 'stack'] as const) {
    const text = (error as unknown as Record<string, unknown>)[field];
    if (typeof text !== 'string') continue;
    const clean = link.secrets.reduce((left, secret) => left.replaceAll(secret, '********'), text);
    (error as unknown as Record<string, unknown>)[field] = clean;
  }
  const { code } = error as Error & { code?: string };
  // Both at the catalogue at once: an attempt before this one, whose worker was killed.
  if (code === '42710' || code === '23505') {
    return failure(
      'NotReadyYet',
      `The subscription ${name} is just being made on the ${to} by another session. It is looked at again by itself.`,
      { sqlState: code },
    );
  }
  // 08: the server of this side could not reach the other one; our own connection to it is fine.
  if (code?.startsWith('08') === true) {
    return failure(
      from === 'source' ? 'SourceUnavailable' : 'TargetUnavailable',
      `The subscription ${name} could not be made on the ${to}: its server cannot connect to the ${from} by ${link.described}: ${error.message.replaceAll(/\s+/g, ' ')}. It is tried again by itself; when that lasts, let it reach the ${from} at that address (pg_hba.conf and firewall too), or name the address it has to take as ${from === 'source' ? 'cdc.sourceFromTarget' : 'cdc.targetFromSource'} in the plan.`,
      { sqlState: code },
    );
  }
  return error;
}
