// Which versions of the servers and of the client tools go together.
import { runTool } from '../client-tools';
import { pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

/** The oldest source whose catalogs we read; older ones are not tried. */
const oldestMajor = 13;

export const versionChecks: PreflightCheck[] = [
  { name: 'versions', title: 'The target is at least as new as the source', side: 'both', look: versions },
  {
    name: 'client-tools',
    title: 'pg_dump and pg_restore fit the source',
    side: 'worker',
    needs: ['source'],
    waivable: false,
    look: (context) => clientToolsFor(context, 'source'),
  },
];

async function versions(context: CheckContext): Promise<Finding> {
  const [source, target] = [await context.server('source'), await context.server('target')];
  const found = `PostgreSQL ${source.version} to ${target.version}`;
  if (target.major < source.major) {
    return {
      outcome: 'fail',
      found: `${found}: a downgrade`,
      expected: `a target of PostgreSQL ${source.major} or newer`,
      fix: `take a target of PostgreSQL ${source.major} or newer`,
    };
  }
  if (source.major < oldestMajor) {
    return {
      outcome: 'warn',
      found: `${found}: sources older than ${oldestMajor} are not tried`,
      expected: `PostgreSQL ${oldestMajor} or newer`,
      fix: 'rehearse the whole migration on a copy first',
    };
  }
  return pass(found);
}

/** pg_dump refuses a server that is newer than itself. */
export async function clientToolsFor(context: CheckContext, side: 'source' | 'target'): Promise<Finding> {
  const { tools } = context.dependencies;
  const { major } = await context.server(side);
  const expected = `pg_dump and pg_restore ${major} or newer`;
  const fix = `apt-get install postgresql-client-${major} (or newer) on every worker, then restart the worker`;
  if (!tools.pgDump || !tools.pgRestore) {
    const missing = [tools.pgDump ? [] : ['pg_dump'], tools.pgRestore ? [] : ['pg_restore']].flat().join(' and ');
    return { outcome: 'fail', found: `${missing} not found on the worker`, expected, fix };
  }
  for (const path of [tools.pgDump, tools.pgRestore]) {
    const { stdout, exitCode } = await runTool(path, ['--version'], { signal: context.signal });
    const tool = Number(/(\d+)(\.|devel|beta|rc|\s|$)/.exec(stdout)?.[1]);
    if (exitCode !== 0 || !(tool >= major)) {
      return {
        outcome: 'fail',
        found: `${path} is ${stdout.trim() || 'broken'}; the source is PostgreSQL ${major}`,
        expected,
        fix,
      };
    }
  }
  return pass(`pg_dump and pg_restore ${tools.major ?? ''} for a source of PostgreSQL ${major}`.replace('  ', ' '));
}
