// Characters and their order: can every text be stored on the target, and will it sort and compare as before?
import { quoteIdentifier, quoteLiteral } from '../identifier';
import { createAnother } from './another-target';
import { listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext, CheckedSide } from './context';

export const encodingChecks: PreflightCheck[] = [
  { name: 'encoding', title: 'Every character of the source fits the target', side: 'both', look: encoding },
  { name: 'collation', title: 'Both databases sort and compare text alike', side: 'both', look: databaseLocale },
  {
    name: 'collation-version',
    title: 'The indexes of the source fit its collation library',
    side: 'source',
    look: collationVersion,
  },
  { name: 'collations', title: 'Collations in use exist on the target', side: 'both', look: collationsInUse },
];

interface Locale {
  encoding: string;
  provider: string;
  collate: string;
  ctype: string;
  locale: string;
  version: string;
  [column: string]: string;
}

/** Columns came one by one: the provider in 15, the locale renamed in 17. */
async function readLocale(context: CheckContext, side: CheckedSide): Promise<Locale> {
  const { major } = await context.server(side);
  const provider = major >= 15 ? 'datlocprovider' : `'c'`;
  const locale = major >= 17 ? 'datlocale' : major >= 15 ? 'daticulocale' : 'null';
  const version = major >= 15 ? 'datcollversion' : 'null';
  const rows = await context.rows<Locale>(
    side,
    `select pg_encoding_to_char(encoding) as encoding, ${provider}::text as provider, datcollate as collate,
       datctype as ctype, coalesce(${locale}, '')::text as locale, coalesce(${version}, '')::text as version
     from pg_database where datname = current_database()`,
  );
  const row = rows[0];
  if (!row) throw new Error('the database is not in pg_database');
  return row;
}

async function encoding(context: CheckContext): Promise<Finding> {
  const [source, target] = [await readLocale(context, 'source'), await readLocale(context, 'target')];
  const found = `${source.encoding} to ${target.encoding}`;
  if (source.encoding === target.encoding) {
    if (source.encoding !== 'SQL_ASCII') return pass(source.encoding);
    return {
      outcome: 'warn',
      found: 'SQL_ASCII on both sides: bytes travel unchecked, in whatever encodings they are',
      expected: 'one known encoding',
    };
  }
  const { database } = await context.server('target');
  const another = (name: string): string =>
    createAnother(
      database,
      ` ENCODING ${quoteLiteral(name)}${name === 'SQL_ASCII' ? ` LC_COLLATE 'C' LC_CTYPE 'C'` : ''}`,
    );
  if (source.encoding === 'SQL_ASCII') {
    return {
      outcome: 'fail',
      found: `${found}: the source holds unchecked bytes, and those that are not ${target.encoding} stop the copy`,
      expected: 'the same encoding, or text that was checked before',
      fix: another('SQL_ASCII'),
    };
  }
  if (target.encoding === 'UTF8') {
    return {
      outcome: 'warn',
      found: `${found}: text is converted on the way, and its length in bytes changes`,
      expected: 'the same encoding, or UTF8 on the target',
    };
  }
  return {
    outcome: 'fail',
    found: `${found}: characters that the target does not know stop the copy`,
    expected: `${source.encoding} or UTF8 on the target`,
    fix: another('UTF8'),
  };
}

const providers: Record<string, string> = { c: 'libc', i: 'icu', b: 'builtin' };

async function databaseLocale(context: CheckContext): Promise<Finding> {
  const [source, target] = [await readLocale(context, 'source'), await readLocale(context, 'target')];
  const described = ({ provider, collate, ctype, locale, version }: Locale): string =>
    [
      providers[provider] ?? provider,
      locale || collate,
      collate === ctype ? '' : `ctype ${ctype}`,
      version && `version ${version}`,
    ]
      .filter(Boolean)
      .join(' ');
  if (described(source) === described(target)) return pass(described(source));
  const { database } = await context.server('target');
  const sameButVersion = described({ ...source, version: '' }) === described({ ...target, version: '' });
  return {
    outcome: 'warn',
    found: `source ${described(source)}, target ${described(target)}: text may sort in another order (all indexes are built anew, so none is damaged)`,
    expected: 'equal locale, provider and version',
    fix: sameButVersion ? undefined : createWithLocale(database, source, (await context.server('target')).major),
  };
}

function createWithLocale(database: string, source: Locale, targetMajor: number): string {
  const provider = targetMajor >= 15 ? ` LOCALE_PROVIDER ${providers[source.provider] ?? 'libc'}` : '';
  const option = source.provider === 'b' ? 'BUILTIN_LOCALE' : 'ICU_LOCALE';
  const locale = source.locale ? ` ${option} ${quoteLiteral(source.locale)}` : '';
  return createAnother(
    database,
    ` ENCODING ${quoteLiteral(source.encoding)}${provider} LC_COLLATE ${quoteLiteral(source.collate)} LC_CTYPE ${quoteLiteral(source.ctype)}${locale}`,
  );
}

async function collationVersion(context: CheckContext): Promise<Finding> {
  const { major, database } = await context.server('source');
  if (major < 15) return pass(`PostgreSQL ${major} does not record it for databases`);
  const rows = await context.rows<{ recorded: string | null; actual: string | null }>(
    'source',
    `select datcollversion as recorded, pg_database_collation_actual_version(oid) as actual
     from pg_database where datname = current_database()`,
  );
  const { recorded, actual } = rows[0] ?? { recorded: null, actual: null };
  if (recorded === actual) return pass(recorded ? `version ${recorded}` : 'a collation without versions');
  return {
    outcome: 'warn',
    found: `the indexes were built with collation version ${recorded}, the library now is ${actual}: unique indexes may hold duplicates, which stop the build on the target`,
    expected: 'indexes built with the present library',
    fix: `REINDEX DATABASE ${quoteIdentifier(database)}; ALTER DATABASE ${quoteIdentifier(database)} REFRESH COLLATION VERSION;`,
  };
}

/** Collations that initdb imported from the operating system: their definition does not travel, only their name. */
const usedSql = `
select distinct c.collname as name
from pg_collation c
where c.collnamespace = 'pg_catalog'::regnamespace and c.collname not in ('default', 'C', 'POSIX')
  and c.oid in (
    select attcollation from pg_attribute where attrelid >= 16384
    union all select unnest(indcollation::oid[]) from pg_index where indexrelid >= 16384
    union all select typcollation from pg_type where oid >= 16384)
order by 1`;

async function collationsInUse(context: CheckContext): Promise<Finding> {
  const used = (await context.rows<{ name: string }>('source', usedSql)).map(({ name }) => name);
  if (used.length === 0)
    return pass('only the default of the database, C and POSIX, or collations made in the database');
  const there = await context.rows<{ name: string }>(
    'target',
    `select distinct collname as name from pg_collation where collnamespace = 'pg_catalog'::regnamespace
     and collname = any($1) and collencoding in (-1, (select encoding from pg_database where datname = current_database()))`,
    [used],
  );
  const missing = used.filter((name) => !there.some((row) => row.name === name));
  if (missing.length === 0) return pass(listed(used));
  return {
    outcome: 'fail',
    found: `the target has no collation ${listed(missing)}`,
    expected: 'every collation that columns and indexes use',
    fix: `localedef for the locale on the target's machine, then ${statements([`SELECT pg_import_system_collations('pg_catalog')`])}`,
  };
}
