// Can both servers be reached, directly, as what they should be, and are they different ones?
// Nothing here can be waived where the wrong answer would send rows to the wrong place.
import { listed, pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext, CheckedSide } from './context';
import { sameDatabase, sameServer } from './server-facts';

export const connectivityChecks: PreflightCheck[] = [
  ...(['source', 'target'] as const).flatMap((side): PreflightCheck[] => [
    {
      name: `${side}-reachable`,
      title: `The ${side} can be reached from the worker`,
      side,
      needs: [],
      waivable: false,
      look: (context) => reachable(context, side),
    },
    {
      name: `${side}-encrypted`,
      title: `The connection to the ${side} is encrypted`,
      side,
      look: (context) => encrypted(context, side),
    },
    {
      name: `${side}-direct`,
      title: `The ${side} is reached without a pooler`,
      side,
      waivable: false,
      look: (context) => direct(context, side),
    },
    {
      name: `${side}-primary`,
      title: `The ${side} is not a standby`,
      side,
      waivable: false,
      look: (context) => primary(context, side),
    },
  ]),
  {
    name: 'different-databases',
    title: 'Source and target are different databases',
    side: 'both',
    waivable: false,
    look: differentDatabases,
  },
];

async function reachable(context: CheckContext, side: CheckedSide): Promise<Finding> {
  if (!context.reachable(side)) {
    const found = context.unreachableBecause(side);
    const pooled = /unsupported startup parameter/i.test(found);
    return {
      outcome: 'fail',
      found: pooled ? `${found} This is a connection pooler.` : found,
      expected: 'a session on the server itself',
      fix: pooled
        ? 'give the address of the server itself, not of its pooler'
        : await connectCommand(context, side).catch(() => undefined),
    };
  }
  const { host, port, database, user } = await context.dependencies.connections.address(context.input.scope[side]);
  const { version } = await context.server(side);
  return pass(`PostgreSQL ${version} at ${host}:${port}, database ${database}, as ${user}`);
}

async function connectCommand(context: CheckContext, side: CheckedSide): Promise<string> {
  const { host, port, database, user } = await context.dependencies.connections.address(context.input.scope[side]);
  return `pg_isready -h ${host} -p ${port}; psql -h ${host} -p ${port} -U ${user} -d ${database} -c 'select 1'`;
}

async function encrypted(context: CheckContext, side: CheckedSide): Promise<Finding> {
  const { tls, address } = await context.server(side);
  if (tls) return pass(tls);
  if (!address || /^(127\.|::1$)/.test(address)) return pass('not needed: the connection does not leave the machine');
  return {
    outcome: 'warn',
    found: `rows and passwords travel unencrypted to ${address}`,
    expected: 'TLS',
    fix: 'add ?sslmode=verify-full&sslrootcert=/path/to/ca.pem to the connection string behind the reference',
  };
}

/** A pooler hands out its own backend number, or another backend for the next statement. */
async function direct(context: CheckContext, side: CheckedSide): Promise<Finding> {
  const session = context.session(side);
  const announced = 'processID' in session ? String(session.processID) : undefined;
  const seen = new Set<string>();
  for (let ask = 0; ask < 5; ask += 1) seen.add((await context.value(side, 'select pg_backend_pid()')) ?? '');
  const kept = await context.value(side, `select current_setting('statement_timeout')`);
  if (seen.size === 1 && (announced === undefined || seen.has(announced)) && kept === '1min') {
    return pass('one session is one backend, and keeps its settings');
  }
  return {
    outcome: 'fail',
    found: `a session is not one backend of its own (announced ${announced}, found ${listed([...seen])})`,
    expected: 'a direct connection: poolers lose settings, snapshots and locks between statements',
    fix: 'give the address of the server itself, not of its pooler',
  };
}

async function primary(context: CheckContext, side: CheckedSide): Promise<Finding> {
  if (!(await context.server(side)).inRecovery) return pass('a primary');
  return {
    outcome: 'fail',
    found: 'the server is in recovery: a standby',
    expected: side === 'source' ? 'the primary: the fence is raised on it' : 'a server that takes writes',
    fix: 'give the address of the primary',
  };
}

async function differentDatabases(context: CheckContext): Promise<Finding> {
  const [source, target] = [await context.server('source'), await context.server('target')];
  if (sameDatabase(source, target)) {
    return {
      outcome: 'fail',
      found: `both references lead to the database ${source.database} of the same server`,
      expected: 'two databases',
      fix: 'correct the reference of the target',
    };
  }
  if (sameServer(source, target)) {
    return {
      outcome: 'warn',
      found: `${source.database} and ${target.database} are on the same server: roles are shared and the load adds up`,
      expected: 'two servers',
    };
  }
  return pass('two servers');
}
