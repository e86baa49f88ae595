// Sessions on the two databases: references resolved, values untouched (every type comes back as text), settings pinned,
// ended on cancellation together with the query that runs in them.
import { Client, type ClientConfig, type QueryConfig } from 'pg';
import { parse } from 'pg-connection-string';
import { describeReference, type ConnectionReference } from '../../plan/reference';
import { failure } from '../errors';
import { resolveSecret } from '../secret';
import { postgresFailure, type Side } from './errors';
import { quoteLiteral } from './identifier';
import { WaitingSessions } from './waiting-sessions';

export { resolveSecret };

/** Text in, text out: no Date, no Number between two databases. */
const untouched = { getTypeParser: () => (value: string) => value };

/** Pinned so that the text of a value is the same in both databases (pitfalls: time zones, floats, bytea). */
export const pinnedSettings: Readonly<Record<string, string>> = {
  TimeZone: 'UTC',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  extra_float_digits: '3',
  bytea_output: 'hex',
  client_encoding: 'UTF8',
  standard_conforming_strings: 'on',
  search_path: '',
  row_security: 'off',
  lock_timeout: '0',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  // A database or a role may carry its own of these.
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  quote_all_identifiers: 'off',
  array_nulls: 'on',
  // A worker that is gone without a word is noticed within a minute. No tcp_user_timeout: it would end a copy that only waits.
  tcp_keepalives_idle: '30',
  tcp_keepalives_interval: '10',
  tcp_keepalives_count: '3',
};

/** Pinned where the server knows them (14, 14 and 17 on): at the start of a session an unknown name would be refused. */
const settingsOfSomeVersions: Readonly<Record<string, string>> = {
  idle_session_timeout: '0',
  transaction_timeout: '0',
  // So that a backend whose worker was killed ends in the middle of its query, and does not keep its locks.
  client_connection_check_interval: '10s',
};

/**
 * Without bound values, which a session for replication does not take, and without pg_settings, which costs every new session some
 * milliseconds. Only Linux can check the client in every version that has the setting.
 */
const pinKnownSql = `
select pg_catalog.set_config(wanted.name, wanted.value, false)
  from (values ${Object.entries(settingsOfSomeVersions)
    .map(([name, value]) => `(${quoteLiteral(name)}, ${quoteLiteral(value)})`)
    .join(', ')}) as wanted(name, value)
 where pg_catalog.current_setting(wanted.name, true) is not null
   and (wanted.name <> 'client_connection_check_interval' or pg_catalog.version() ~ 'linux')`;

/** A role's own `default_transaction_read_only = on` must not stop us, and our own fence sets it. */
const writable = { default_transaction_read_only: 'off' };

/** Seen in pg_stat_activity; by it the fence knows our own sessions. */
export const applicationNamePrefix = 'cutover';
/** Of sessions that nobody has taken yet. */
export const waitingPurpose = 'waiting';

export interface SessionOptions {
  side: Side;
  /** What the session is for, as in pg_stat_activity: `copy lane 2`. */
  purpose: string;
  signal?: AbortSignal;
  /** Extra settings for the session. */
  settings?: Record<string, string>;
  connectTimeoutMs?: number;
  /** A session that takes replication commands, and no bound values. */
  replication?: boolean;
  /** Another database on the server of the reference. */
  database?: string;
  /** An application waits for it: takes a session of `openAhead` where one is there. */
  ahead?: boolean;
}

/** Where the reference points, without user and password: safe to show. */
export interface Address {
  host: string;
  port: number;
  database: string;
  user: string;
}

export class PostgresConnections {
  private readonly waiting = new WaitingSessions();

  constructor(private readonly environment: NodeJS.ProcessEnv = process.env) {}

  /**
   * libpq-style connection string of a reference, for client tools, to be handed over by environment, never by argument.
   * @throws PreconditionFailed when the reference is bound to one server and this leads to another
   */
  async connectionString(reference: ConnectionReference): Promise<string> {
    const text = await resolveSecret(reference, this.environment);
    if (reference.system === undefined) return text;
    // Who connects by it asks nothing: it is asked here, of the very text that is handed over.
    const session = await this.connect(reference, parsedText(text, reference), {
      side: 'scratch',
      purpose: 'identity',
    });
    await session.end().catch(() => undefined);
    return text;
  }

  /** The `PG*` environment that makes client tools connect where the reference says; TLS settings included. Values are secrets. */
  async toolEnvironment(reference: ConnectionReference): Promise<Record<string, string>> {
    const text = await this.connectionString(reference);
    const config = parsedText(text, reference);
    const query = /^\w+:\/\//.test(text) ? new URL(text).searchParams : new URLSearchParams();
    const tls = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'].flatMap((key) =>
      query.has(key) ? [[`PG${key.toUpperCase()}`, query.get(key)]] : [],
    );
    const pairs = [
      ['PGHOST', config.host],
      ['PGPORT', config.port],
      ['PGDATABASE', config.database],
      ['PGUSER', config.user],
      ['PGPASSWORD', config.password],
      // Without it the fence would take our own pg_dump for somebody else's session.
      ['PGAPPNAME', `${applicationNamePrefix} client tool`],
      ...tls,
    ];
    return Object.fromEntries(pairs.filter(([, value]) => value).map(([key, value]) => [String(key), String(value)]));
  }

  async address(reference: ConnectionReference): Promise<Address> {
    const { host, port, database, user } = await this.parsed(reference);
    return {
      host: host ?? 'localhost',
      port: port ?? 5432,
      database: database ?? user ?? '',
      user: user ?? '',
    };
  }

  /** Opens one session; the caller ends it. Aborting the signal cancels the running query and ends the session. @throws failures of the closed set */
  async open(reference: ConnectionReference, options: SessionOptions): Promise<Client> {
    const { signal } = options;
    signal?.throwIfAborted();
    const config = await this.parsed(reference);
    const waiting = options.ahead ? await this.takeWaiting(keyOf(config, reference), options) : undefined;
    const client = waiting ?? (await this.connect(reference, config, options));
    // An abort until here has met no listener.
    if (signal?.aborted) {
      destroy(client);
      signal.throwIfAborted();
    }
    const cancel = (): void => void this.cancelRunning(config, client);
    signal?.addEventListener('abort', cancel, { once: true });
    client.once('end', () => signal?.removeEventListener('abort', cancel));
    return client;
  }

  /** Has so many sessions of this worker wait for who asks for one that was opened `ahead`; a server that has no room for them keeps nothing from going on. */
  async openAhead(reference: ConnectionReference, side: Side, count: number): Promise<void> {
    const config = await this.parsed(reference);
    const key = keyOf(config, reference);
    const opening = Array.from({ length: Math.max(0, count - this.waiting.count(key)) }, async () =>
      this.waiting.add(key, await this.connect(reference, config, { side, purpose: waitingPurpose })),
    );
    await Promise.allSettled(opening);
  }

  /** For who comes to an end: those of this worker go at once, those of another by themselves. */
  async endWaiting(reference: ConnectionReference): Promise<void> {
    await this.waiting.end(keyOf(await this.parsed(reference), reference));
  }

  private async takeWaiting(key: string, { purpose, settings }: SessionOptions): Promise<Client | undefined> {
    const wanted = { application_name: `${applicationNamePrefix} ${purpose}`, ...settings };
    const set = Object.entries(wanted).map(
      ([name, value]) => `pg_catalog.set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, false)`,
    );
    const setting: QueryConfig & { query_timeout: number } = { text: `select ${set.join(', ')}`, query_timeout: 500 };
    for (;;) {
      const client = this.waiting.take(key);
      if (!client) return undefined;
      try {
        await client.query(setting);
        return client;
      } catch {
        // Lost while it waited.
        destroy(client);
      }
    }
  }

  private async connect(
    reference: ConnectionReference,
    config: ClientConfig,
    { side, purpose, signal, ...options }: SessionOptions,
  ): Promise<Client> {
    const settings = { ...pinnedSettings, ...writable, ...options.settings };
    const client = new Client({
      ...config,
      database: options.database ?? config.database,
      types: untouched,
      ...(options.replication ? { replication: 'database' } : {}),
      application_name: `${applicationNamePrefix} ${purpose}`,
      connectionTimeoutMillis: options.connectTimeoutMs ?? 10_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      options: Object.entries(settings)
        .map(([key, value]) => `-c ${key}=${value.replaceAll(/([\\ ])/g, '\\$1')}`)
        .join(' '),
    });
    // Without a listener a connection lost while idle would end the process; the next query reports it.
    client.on('error', () => undefined);
    const destroyed = (): void => destroy(client);
    signal?.addEventListener('abort', destroyed, { once: true });
    try {
      await client.connect();
      await client.query(pinKnownSql);
      if (reference.system !== undefined) await requireSystem(client, reference, reference.system);
      return client;
    } catch (error) {
      destroy(client);
      signal?.throwIfAborted();
      throw postgresFailure(error, side, `Connecting by ${describeReference(reference)}`);
    } finally {
      signal?.removeEventListener('abort', destroyed);
    }
  }

  /** Runs `work` in a session of its own and ends it. Driver errors come out as failures of the closed set, told as "`purpose` failed on the …". */
  async withSession<Result>(
    reference: ConnectionReference,
    options: SessionOptions,
    work: (client: Client) => Promise<Result>,
  ): Promise<Result> {
    const client = await this.open(reference, options);
    try {
      return await work(client);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw postgresFailure(error, options.side, options.purpose);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  private async cancelRunning(config: ClientConfig, client: Client): Promise<void> {
    const { processID } = client as unknown as { processID: number | null };
    const canceller = new Client({
      ...config,
      application_name: `${applicationNamePrefix} cancel`,
      connectionTimeoutMillis: 5_000,
    });
    canceller.on('error', () => undefined);
    try {
      await canceller.connect();
      await canceller.query('select pg_cancel_backend($1)', [processID]);
    } catch {
      // The session is cut below in any case; the server notices at its next write.
    } finally {
      await canceller.end().catch(() => undefined);
      destroy(client);
    }
  }

  private async parsed(reference: ConnectionReference): Promise<ClientConfig> {
    return parsedText(await resolveSecret(reference, this.environment), reference);
  }
}

/** @throws PreconditionFailed when it is no connection string */
function parsedText(text: string, reference: ConnectionReference): ClientConfig {
  try {
    const { host, port, database, user, password, ssl } = parse(text);
    return {
      host: host ?? undefined,
      port: port ? Number(port) : 5432,
      database: database ?? undefined,
      user: user,
      password,
      ssl: ssl as ClientConfig['ssl'],
    };
  } catch {
    throw failure(
      'PreconditionFailed',
      `The content of ${describeReference(reference)} is not a PostgreSQL connection string (it is not shown). Write it as postgresql://user@host:5432/database.`,
    );
  }
}

/** A reference may stand for something else on another worker, or later: what counts is where this session came out. */
async function requireSystem(client: Client, reference: ConnectionReference, system: string): Promise<void> {
  const { rows } = await client.query<{ id: string }>('select system_identifier::text as id from pg_control_system()');
  if (rows[0]?.id === system) return;
  throw failure(
    'PreconditionFailed',
    `${describeReference(reference)} leads to another server by now (system identifier ${rows[0]?.id}) than the one it stood for (${system}). Nothing was done there; put it right on every worker, then retry.`,
  );
}

/** Sessions of one key are alike but for their name and settings. Holds the password: for maps of this process alone. */
function keyOf(config: ClientConfig, { system }: ConnectionReference): string {
  return JSON.stringify([config, system]);
}

function destroy(client: Client): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}
