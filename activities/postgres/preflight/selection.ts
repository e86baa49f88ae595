// What the plan selects: every pattern finds something, and nothing that is kept needs something that is left out.
import { quoteIdentifier, quoteQualified } from '../identifier';
import { ledgerSchema } from '../scope';
import { markerSchemaComment } from '../stream/marker';
import { matchesPattern } from '../tables';
import { counted, listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

export const selectionChecks: PreflightCheck[] = [
  { name: 'table-patterns', title: 'Every table pattern of the plan finds something', side: 'source', look: patterns },
  {
    name: 'excluded-dependencies',
    title: 'Nothing that is kept needs a table that is left out',
    side: 'source',
    look: dependencies,
  },
  {
    name: 'schema-name-free',
    title: `No schema of the source is called ${ledgerSchema}`,
    side: 'source',
    waivable: false,
    look: schemaName,
  },
];

/** Whatever a pattern may mean: tables and their partitioned parents, views, foreign tables. */
const nameableSql = `
select n.nspname as schema, c.relname as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't'
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`;

async function patterns(context: CheckContext): Promise<Finding> {
  const { include, exclude } = context.input.scope.tables;
  const names = await context.rows<{ schema: string; name: string }>('source', nameableSql);
  const idle = (list: string[]): string[] =>
    list.filter((pattern) => !names.some(({ schema, name }) => matchesPattern(pattern, schema, name)));
  const [idleIncludes, idleExcludes] = [idle(include), idle(exclude)];
  const tables = await context.tables();
  if (names.length === 0 && include.every((pattern) => pattern === '*.*')) {
    return { outcome: 'warn', found: 'the source has no table', expected: 'tables to migrate' };
  }
  const wrong = [
    ...idleIncludes.map((pattern) => `include "${pattern}"`),
    ...idleExcludes.map((pattern) => `exclude "${pattern}"`),
  ];
  if (wrong.length === 0) {
    return pass(`${counted(tables.length, 'table')} selected, ${(await context.excludedTables()).length} left out`);
  }
  const schemas = [...new Set(names.map(({ schema }) => schema))];
  return {
    outcome: idleIncludes.length > 0 ? 'fail' : 'warn',
    found: `${listed(wrong)} ${wrong.length === 1 ? 'matches' : 'match'} nothing`,
    expected: `names as they are in the database, case included; it has the schemas ${listed(schemas)}`,
    fix: 'correct plan.tables: each pattern is schema.table, with * and ?',
  };
}

/**
 * What refers to a relation from outside of it: foreign keys, views, inheritance, row types in columns and functions,
 * and defaults that draw from a sequence owned by it.
 */
const referencesSql = `
with recursive up as (
  select inhrelid as leaf, inhparent as parent from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relispartition
  union all
  select up.leaf, i.inhparent from up join pg_inherits i on i.inhrelid = up.parent join pg_class c on c.oid = up.parent where c.relispartition
), reference as (
  select 'foreign key ' || quote_ident(conname) as what, conrelid as kept, confrelid as needed, true as constraint
  from pg_constraint where contype = 'f' and conparentid = 0
  union
  select 'view', r.ev_class, d.refobjid, false
  from pg_depend d join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
  where d.refclassid = 'pg_class'::regclass and d.refobjid <> r.ev_class
  union
  select 'inheritance', inhrelid, inhparent, false
  from pg_inherits i join pg_class c on c.oid = i.inhrelid where not c.relispartition
  union
  select 'column ' || quote_ident(a.attname), a.attrelid, t.typrelid, false
  from pg_attribute a join pg_type e on e.oid = a.atttypid join pg_type t on t.oid in (e.oid, e.typelem)
  where a.attnum > 0 and not a.attisdropped and t.typrelid <> 0
  union
  select 'default of ' || quote_ident(a.attname), ad.adrelid, own.refobjid, false
  from pg_attrdef ad
  join pg_attribute a on a.attrelid = ad.adrelid and a.attnum = ad.adnum
  join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = ad.oid and d.refclassid = 'pg_class'::regclass
  join pg_depend own on own.classid = 'pg_class'::regclass and own.objid = d.refobjid and own.deptype in ('a', 'i')
    and own.refclassid = 'pg_class'::regclass and own.refobjid <> ad.adrelid
  where own.objid in (select oid from pg_class where relkind = 'S')
)
select reference.what, constraint_, k.nspname as kept_schema, kc.relname as kept_name, n.nspname as needed_schema, nc.relname as needed_name,
  (select json_agg(json_build_array(an.nspname, ac.relname)) from up join pg_class ac on ac.oid = up.parent join pg_namespace an on an.oid = ac.relnamespace where up.leaf = kc.oid) as kept_ancestors,
  (select json_agg(json_build_array(an.nspname, ac.relname)) from up join pg_class ac on ac.oid = up.parent join pg_namespace an on an.oid = ac.relnamespace where up.leaf = nc.oid) as needed_ancestors
from (select what, kept, needed, reference.constraint as constraint_ from reference) reference
join pg_class kc on kc.oid = reference.kept join pg_namespace k on k.oid = kc.relnamespace
join pg_class nc on nc.oid = reference.needed join pg_namespace n on n.oid = nc.relnamespace
where reference.kept <> reference.needed and nc.relkind in ('r', 'p', 'v', 'm', 'f') and kc.relkind in ('r', 'p', 'v', 'm')
  and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and k.nspname !~ '^pg_' and k.nspname <> 'information_schema'
order by 3, 4, 1`;

interface Reference {
  what: string;
  constraint_: string;
  kept_schema: string;
  kept_name: string;
  needed_schema: string;
  needed_name: string;
  kept_ancestors: string | null;
  needed_ancestors: string | null;
  [column: string]: string | null;
}

async function dependencies(context: CheckContext): Promise<Finding> {
  const selection = context.input.scope.tables;
  if (selection.exclude.length === 0 && selection.include.includes('*.*')) return pass('nothing is left out');
  const selected = (schema: string, name: string, ancestors: string | null): boolean => {
    const above = ancestors === null ? [] : (JSON.parse(ancestors) as [string, string][]);
    const names = [[schema, name], ...above] as const;
    const any = (list: string[]): boolean =>
      list.some((pattern) => names.some(([schemaName, table]) => matchesPattern(pattern, schemaName, table)));
    return any(selection.include) && !any(selection.exclude);
  };
  const broken = (await context.rows<Reference>('source', referencesSql)).filter(
    (row) =>
      selected(row.kept_schema, row.kept_name, row.kept_ancestors) &&
      !selected(row.needed_schema, row.needed_name, row.needed_ancestors),
  );
  if (broken.length === 0)
    return pass(`${counted((await context.excludedTables()).length, 'table')} left out, nothing kept needs them`);
  const include = [...new Set(broken.map(({ needed_schema, needed_name }) => `${needed_schema}.${needed_name}`))];
  const drops = broken
    .filter(({ constraint_ }) => constraint_ === 't')
    .map(
      ({ kept_schema, kept_name, what }) =>
        `ALTER TABLE ${quoteQualified(kept_schema, kept_name)} DROP CONSTRAINT ${what.slice('foreign key '.length)}`,
    );
  return {
    outcome: 'fail',
    found: listed(
      broken.map(
        (row) =>
          `${row.what === 'view' ? 'view ' : `${row.what} of `}${row.kept_schema}.${row.kept_name} needs ${row.needed_schema}.${row.needed_name}, which is left out`,
      ),
      '; ',
    ),
    expected: 'that what is kept needs only what is kept',
    fix: `include ${listed(include)} in plan.tables, or leave out what needs them${drops.length > 0 ? `, or ${statements(drops)}` : ''}`,
  };
}

async function schemaName(context: CheckContext): Promise<Finding> {
  const rows = await context.rows<{ comment: string | null }>(
    'source',
    `select obj_description(oid, 'pg_namespace') as comment from pg_namespace where nspname = $1`,
    [ledgerSchema],
  );
  const [there] = rows;
  if (!there) return pass('it is free for the ledger');
  if (there.comment === markerSchemaComment) {
    return {
      outcome: 'warn',
      found: `the source has a schema ${ledgerSchema} with the markers of a migration that streams from here, or once did; it is not copied`,
      expected: 'none, unless another migration of this source is under way',
      fix: 'cutover reap PLAN --dry-run # shows whether it belongs to anybody; without --dry-run it removes what does not',
    };
  }
  return {
    outcome: 'fail',
    found: `the source has a schema ${ledgerSchema}, the name that the ledger of a migration has on the target; it would not be copied`,
    expected: 'another name',
    fix: `ALTER SCHEMA ${quoteIdentifier(ledgerSchema)} RENAME TO ${quoteIdentifier(`${ledgerSchema}_source`)}; -- or drop it, if an earlier migration left it`,
  };
}
