// Connections to the etcd of a plan: TLS and users by reference, resolved when they are needed, opened for one piece of work and closed after it.
import { rootCertificates } from 'node:tls';
import { Etcd3, isRecoverableError, type IOptions } from 'etcd3';
import type { CalicoSource } from '../../../plan/calico';
import { failure } from '../../errors';
import { resolveSecret } from '../../secret';
import { EtcdDatastore } from './datastore';
import { etcdFailure } from './errors';

const callDeadlineMs = 8_000;
/** Of a page: a megabyte over a slow line. */
const pageDeadlineMs = 30_000;
const greatestAnswer = 16 * 1024 * 1024;

type FaultHandling = NonNullable<IOptions['faultHandling']>;
type Policy = NonNullable<FaultHandling['global']>;

export class EtcdConnections {
  constructor(private readonly environment: NodeJS.ProcessEnv = process.env) {}

  /**
   * Runs `use` with a connection and closes it.
   * @throws PreconditionFailed for endpoints or certificates that cannot be used; failures of the calls that `use` makes
   */
  async with<T>(source: CalicoSource, use: (etcd: EtcdDatastore) => Promise<T>): Promise<T> {
    const { endpoints, auth } = source;
    const address = { endpoints, username: auth?.username };
    const options = await this.options(source);
    const client = openClient(options, (error) => etcdFailure(error, 'Connecting', address));
    try {
      return await use(new EtcdDatastore(client, address, source.prefix));
    } finally {
      client.close();
    }
  }

  private async options({ endpoints, tls, auth }: CalicoSource): Promise<IOptions> {
    const secure = requireOneScheme(endpoints);
    return {
      hosts: endpoints.map(hostOf),
      credentials: secure ? await this.credentials(tls) : undefined,
      auth: auth && { username: auth.username, password: await resolveSecret(auth.password, this.environment) },
      defaultCallOptions: (call) => {
        const isPage = call.method === 'range' && Number(call.params.limit ?? 0) > 0;
        return { deadline: Date.now() + (isPage ? pageDeadlineMs : callDeadlineMs) };
      },
      grpcOptions: {
        'grpc.max_receive_message_length': greatestAnswer,
        // The default grows to two minutes, long after etcd is back.
        'grpc.max_reconnect_backoff_ms': 2_000,
      },
      // Each member once, a lone one twice. The client's own policies ask four times without a pause, and then no more for five seconds.
      faultHandling: { global: asking(Math.max(2, endpoints.length)), host: () => asking(1) },
    };
  }

  private async credentials(tls: CalicoSource['tls']): Promise<IOptions['credentials']> {
    const pem = async (reference: NonNullable<typeof tls>['ca']): Promise<Buffer | undefined> =>
      reference && Buffer.from(await resolveSecret(reference, this.environment));
    return {
      rootCertificate: (await pem(tls?.ca)) ?? Buffer.from(rootCertificates.join('\n')),
      certChain: await pem(tls?.cert),
      privateKey: await pem(tls?.key),
    };
  }
}

/** @throws PreconditionFailed when certificate or key is no PEM, or they do not belong together */
function openClient(options: IOptions, otherwise: (error: unknown) => Error): Etcd3 {
  try {
    return new Etcd3(options);
  } catch (error) {
    if (!options.credentials) throw otherwise(error);
    // OpenSSL's words name the problem ("key values mismatch", "no start line") and quote nothing.
    const said = error instanceof Error ? error.message : String(error);
    throw failure(
      'PreconditionFailed',
      `The certificates for etcd cannot be used: ${said}. Correct what "ca", "cert" and "key" in "tls" of the source refer to; each must be PEM text.`,
    );
  }
}

function requireOneScheme(endpoints: string[]): boolean {
  const secure = endpoints.filter((endpoint) => /^https:/i.test(endpoint)).length;
  if (secure === 0 || secure === endpoints.length) return secure > 0;
  throw failure(
    'PreconditionFailed',
    `The endpoints ${endpoints.join(', ')} mix http and https. Write all of them with the scheme that the members serve.`,
  );
}

/** "https://10.0.0.1" -> "https://10.0.0.1:2379": what gRPC takes, with etcd's port where none is given. */
function hostOf(endpoint: string): string {
  const address = endpoint.replace(
    /^(https?:\/\/)([^/?#]*).*$/i,
    (_, scheme: string, host: string) => scheme.toLowerCase() + host,
  );
  return /:\d+$/.test(address) ? address : `${address}:2379`;
}

/** Tries as often as that while the error is one that may pass; the client takes the next member each time. */
function asking(times: number): Policy {
  const silent = () => ({ dispose: () => undefined });
  return {
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- the type asks for it
    get _altReturn(): never {
      throw new Error('This property exists in types only.');
    },
    onSuccess: silent,
    onFailure: silent,
    async execute(call, signal = new AbortController().signal) {
      for (let tried = 1; ; tried += 1) {
        try {
          return await call({ signal });
        } catch (error) {
          if (tried >= times || !(error instanceof Error) || !isRecoverableError(error)) throw error;
        }
      }
    },
  };
}
