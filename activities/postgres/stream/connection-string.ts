// How the server of one side reaches the other, as libpq takes it: what the worker reads from a URL, in keywords, each value quoted.
// The result is a secret. Paths of certificates are paths on the server that connects.
import { parse } from 'pg-connection-string';
import { describeReference, type ConnectionReference } from '../../../plan/reference';
import { failure } from '../../errors';
import type { PostgresConnections } from '../connection';
import type { PostgresScope } from '../scope';
import type { Stream } from './names';

/** Parameters of a URL that libpq takes by the same name, beside where and who. */
const libpqParameters = new Set([
  ...['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'sslpassword', 'sslcrl', 'sslcrldir', 'sslsni', 'sslnegotiation'],
  ...['ssl_min_protocol_version', 'ssl_max_protocol_version', 'sslcertmode', 'channel_binding', 'require_auth'],
  ...['hostaddr', 'passfile', 'gssencmode', 'krbsrvname', 'gsslib', 'target_session_attrs', 'connect_timeout'],
  ...['keepalives', 'keepalives_idle', 'keepalives_interval', 'keepalives_count', 'tcp_user_timeout'],
]);
/** These make the worker's own parser read files, which need not be on the worker. */
const readByParser = ['ssl', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'sslnegotiation'];

export interface Link {
  /** libpq keywords and values; holds the password. */
  conninfo: string;
  /** Never to be shown: to be taken out of messages. */
  secrets: string[];
  /** Names the reference: safe to show. */
  described: string;
}

/** The reference by which the server of the following side reaches the writing one. */
export function linkReference(scope: PostgresScope, stream: Stream): ConnectionReference {
  return stream.from === 'source'
    ? (scope.links?.sourceFromTarget ?? scope.source)
    : (scope.links?.targetFromSource ?? scope.target);
}

/** The connection of a stream's subscription, seen on the writing server under the stream's name. @throws PreconditionFailed when it is no connection string */
export async function linkOf(connections: PostgresConnections, scope: PostgresScope, stream: Stream): Promise<Link> {
  const reference = linkReference(scope, stream);
  const described = describeReference(reference);
  const text = await connections.connectionString(reference);
  try {
    return { ...libpqString(text, stream.name), described };
  } catch {
    throw failure(
      'PreconditionFailed',
      `The content of ${described} is not a PostgreSQL connection string (it is not shown). Write it as postgresql://user@host:5432/database.`,
    );
  }
}

/** A connection URL as libpq keywords. */
export function libpqString(text: string, applicationName: string): Omit<Link, 'described'> {
  const [base, query] = splitOnce(text, '?');
  const parameters = new URLSearchParams(query);
  const own = new Map([...parameters].filter(([name]) => libpqParameters.has(name)));
  if (isOn(parameters.get('ssl')) && !own.has('sslmode')) own.set('sslmode', 'require');
  // A word of the worker's driver alone.
  if (own.get('sslmode') === 'no-verify') own.set('sslmode', 'require');
  if (!own.has('connect_timeout')) own.set('connect_timeout', '10');
  for (const name of readByParser) parameters.delete(name);
  const { host, port, user, password, database } = parse(
    parameters.size > 0 ? `${base}?${parameters.toString()}` : base,
  );
  const settings: [string, string | null | undefined][] = [
    ['host', host],
    ['port', port],
    ['dbname', database ?? user],
    ['user', user],
    ['password', password],
    ...own,
    ['application_name', applicationName],
  ];
  const conninfo = settings.flatMap(([name, value]) => (value ? [`${name}=${quoteValue(value)}`] : [])).join(' ');
  const secrets = [password, own.get('sslpassword')].flatMap((secret) => (secret ? asShown(secret) : []));
  return { conninfo, secrets };
}

/** A secret as it is, in quotes of libpq, and within those of SQL: longest first, since one may hold another. */
function asShown(secret: string): string[] {
  const inLibpq = quoteValue(secret).slice(1, -1);
  const inSql = inLibpq.replaceAll('\\', '\\\\').replaceAll("'", "''");
  return [...new Set([inSql, inLibpq, secret])];
}

/** `it's` -> `'it\'s'`. */
function quoteValue(value: string): string {
  return `'${value.replaceAll(/['\\]/g, (character) => `\\${character}`)}'`;
}

function splitOnce(text: string, by: string): [string, string] {
  const at = text.indexOf(by);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function isOn(value: string | null): boolean {
  return value === 'true' || value === '1';
}
