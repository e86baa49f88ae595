// Extensions must be there before the schema that uses them.
import { quoteIdentifier, quoteLiteral } from '../identifier';
import { listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

export const extensionChecks: PreflightCheck[] = [
  {
    name: 'extensions',
    title: 'Extensions of the source are available on the target',
    side: 'target',
    needs: ['source', 'target'],
    look: available,
  },
  {
    name: 'extension-versions',
    title: 'Extensions have the same version on the target',
    side: 'target',
    needs: ['source', 'target'],
    look: sameVersions,
  },
  {
    name: 'extension-privileges',
    title: 'The target lets us create the extensions',
    side: 'target',
    needs: ['source', 'target'],
    look: creatable,
  },
  {
    name: 'preloaded-libraries',
    title: 'Libraries that extensions need are preloaded on the target',
    side: 'target',
    needs: ['source', 'target'],
    look: preloaded,
  },
];

interface SourceExtension {
  name: string;
  version: string;
  [column: string]: string;
}

interface TargetExtension {
  name: string;
  default_version: string | null;
  installed: string | null;
  versions: string;
  trusted: string;
}

const sourceSql = `select extname as name, extversion as version from pg_extension where extname <> 'plpgsql' order by 1`;
const targetSql = `
select a.name, a.default_version, a.installed_version as installed, json_agg(v.version) as versions,
  bool_or(v.trusted) as trusted
from pg_available_extensions a join pg_available_extension_versions v using (name)
group by 1, 2, 3`;

async function read(context: CheckContext): Promise<{ wanted: SourceExtension; offered?: TargetExtension }[]> {
  const wanted = await context.once('extensions', () => context.rows<SourceExtension>('source', sourceSql));
  const rows = await context.once('offered extensions', () =>
    context.rows<TargetExtension & Record<string, string | null>>('target', targetSql),
  );
  const offered = new Map(rows.map((row) => [row.name, row]));
  return wanted.map((extension) => ({ wanted: extension, offered: offered.get(extension.name) }));
}

async function available(context: CheckContext): Promise<Finding> {
  const pairs = await read(context);
  const missing = pairs.filter(({ offered }) => !offered).map(({ wanted }) => wanted.name);
  if (missing.length === 0)
    return pass(
      pairs.length === 0
        ? 'no extension is used'
        : listed(pairs.map(({ wanted }) => `${wanted.name} ${wanted.version}`)),
    );
  const { major } = await context.server('target');
  return {
    outcome: 'fail',
    found: `the target does not offer ${listed(missing)}`,
    expected: 'every extension of the source',
    fix: `install the packages on the target's machine (apt-get install postgresql-contrib, ${missing
      .map((name) => `postgresql-${major}-${name.replaceAll('_', '-')}`)
      .slice(0, 5)
      .join(
        ', ',
      )}), or drop what is not used on the source: ${statements(missing.map((name) => `DROP EXTENSION ${quoteIdentifier(name)}`))}`,
  };
}

async function sameVersions(context: CheckContext): Promise<Finding> {
  const others = (await read(context)).flatMap(({ wanted, offered }) => {
    if (!offered) return [];
    const becomes = offered.installed ?? offered.default_version;
    return becomes === wanted.version ? [] : [{ name: wanted.name, from: wanted.version, to: becomes ?? 'none' }];
  });
  if (others.length === 0) return pass('the same versions, or none missing one');
  return {
    outcome: 'warn',
    found: listed(others.map(({ name, from, to }) => `${name} ${from} on the source, ${to} on the target`)),
    expected: 'equal versions, or a newer one that was tried in a rehearsal',
    fix: statements(
      others.map(({ name, to }) => `ALTER EXTENSION ${quoteIdentifier(name)} UPDATE TO ${quoteLiteral(to)}`),
    ),
  };
}

async function creatable(context: CheckContext): Promise<Finding> {
  const { superuser, user } = await context.server('target');
  if (superuser) return pass(`${user} is a superuser`);
  const barred = (await read(context))
    .filter(({ offered }) => offered && !offered.installed && offered.trusted !== 't')
    .map(({ wanted }) => wanted.name);
  if (barred.length === 0) return pass('only extensions that are trusted or installed already');
  return {
    outcome: 'fail',
    found: `${user} may not create ${listed(barred)}: not trusted`,
    expected: 'extensions that are trusted, or installed by an administrator before the migration',
    fix: statements(barred.map((name) => `CREATE EXTENSION ${quoteIdentifier(name)}`)),
  };
}

/** Their CREATE EXTENSION fails unless the library was there when the server started. */
const preloadOnly: Record<string, string> = { timescaledb: 'timescaledb', pg_cron: 'pg_cron', citus: 'citus' };

async function preloaded(context: CheckContext): Promise<Finding> {
  const wanted = (await read(context)).map(({ wanted: { name } }) => name);
  const library = async (side: 'source' | 'target'): Promise<string[] | undefined> => {
    const readable = await context.rows<{ setting: string }>(
      side,
      `select setting from pg_settings where name = 'shared_preload_libraries'`,
    );
    return readable[0]
      ? readable[0].setting
          .split(',')
          .map((name) => name.trim().replaceAll('"', ''))
          .filter(Boolean)
      : undefined;
  };
  const [here, there] = [await library('source'), await library('target')];
  const needed = wanted.flatMap((name) => preloadOnly[name] ?? []);
  if (!there) {
    const { user } = await context.server('target');
    if (needed.length === 0 && wanted.length === 0) return pass('no extension is used');
    return {
      outcome: needed.length > 0 ? 'fail' : 'warn',
      found: `could not verify: ${user} may not read shared_preload_libraries of the target`,
      fix: `GRANT pg_read_all_settings TO ${quoteIdentifier(user)};`,
    };
  }
  const barred = needed.filter((name) => !there.includes(name));
  const missing = (here ?? []).filter((name) => !there.includes(name));
  if (barred.length === 0 && missing.length === 0) return pass(there.length > 0 ? listed(there) : 'none are needed');
  const all = [...new Set([...there, ...barred, ...missing])];
  return {
    outcome: barred.length > 0 ? 'fail' : 'warn',
    found: `not preloaded on the target: ${listed([...new Set([...barred, ...missing])])}`,
    expected: 'the libraries that the source preloads',
    fix: `ALTER SYSTEM SET shared_preload_libraries = ${all.map((name) => quoteLiteral(name)).join(', ')}; -- then restart the target`,
  };
}
