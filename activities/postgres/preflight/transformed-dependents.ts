// What hangs on columns that change or go: what would keep them from it, what goes with them without a word, and what breaks afterwards.
import { DatabaseError } from 'pg';
import { tableOf, type Transformation } from '../../../plan/transformations';
import { quoteQualified } from '../identifier';
import { singleStatement } from '../single-statement';
import { listed, pass, type Finding } from './check';
import type { CheckContext } from './context';

/**
 * Indexes and constraints of the table go with a dropped column without a word; views keep it from being changed at all, and a publication that
 * names it from being dropped, both only when all else is done.
 */
const dependentsSql = `
select distinct a.attname as column, pg_describe_object(d.classid, d.objid, 0) as what,
  case when d.classid = 'pg_rewrite'::regclass then 'view' when d.classid = 'pg_publication_rel'::regclass then 'publication'
    when d.classid = 'pg_statistic_ext'::regclass then 'statistics'
    when exists (select from pg_constraint c where d.classid = 'pg_constraint'::regclass and c.oid = d.objid and c.contype = 'c') then 'check'
    else 'own' end as kind
from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where d.refclassid = 'pg_class'::regclass and d.refobjid = to_regclass($1)::oid and d.refobjsubid > 0 and a.attname = any($2::text[])
  and (d.classid in ('pg_rewrite'::regclass, 'pg_statistic_ext'::regclass, 'pg_publication_rel'::regclass)
    or (d.classid = 'pg_constraint'::regclass and exists (select from pg_constraint c where c.oid = d.objid and c.contype <> 'n'))
    or (d.classid = 'pg_class'::regclass and exists (select from pg_index i where i.indexrelid = d.objid)))
order by 1, 2`;

const domainsSql = `
select a.attname as column, format_type(a.atttypid, a.atttypmod) as type
from pg_attribute a join pg_type t on t.oid = a.atttypid
where a.attrelid = to_regclass($1) and a.attname = any($2::text[]) and t.typtype = 'd'`;

/** Bodies are text, of which nothing depends on a column. Of functions that nobody fires here, only those that speak of the table too. */
const functionsSql = `
select distinct w.name as column, p.oid::regprocedure::text as what
from pg_proc p join pg_language l on l.oid = p.prolang
join unnest($2::text[], $3::text[]) as w(name, pattern) on p.prosrc ~ w.pattern
where l.lanname not in ('internal', 'c') and p.pronamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
  and not exists (select from pg_depend e where e.classid = 'pg_proc'::regclass and e.objid = p.oid and e.deptype = 'e')
  and (p.prosrc ~ $4 or exists (select from pg_trigger t where t.tgrelid = to_regclass($1) and t.tgfoid = p.oid and not t.tgisinternal))
order by 1, 2`;

export async function dependents(context: CheckContext): Promise<Finding> {
  const barred: string[] = [];
  const noted: string[] = [];
  for (const transformation of context.input.transformations ?? []) {
    const { table, columns } = transformation;
    const { schema, name } = tableOf(transformation);
    const qualified = quoteQualified(schema, name);
    const touched = Object.entries(columns).filter(([, { drop, type }]) => drop || type !== undefined);
    const rows = await context.rows<{ column: string; what: string; kind: string }>('source', dependentsSql, [
      qualified,
      touched.map(([column]) => column),
    ]);
    for (const { column, what, kind } of rows) {
      const dropped = columns[column]?.drop === true;
      if (kind === 'view' || (kind === 'publication' && dropped)) barred.push(`${what} needs ${table}.${column}`);
      else if (kind === 'check' && dropped)
        barred.push(`${what} would refuse rows, because ${table}.${column} is NULL until it is dropped`);
      else if (dropped) noted.push(`dropped as well: ${what}, with ${table}.${column}`);
      else if (kind === 'publication' || kind === 'statistics')
        noted.push(`${what} speaks of ${table}.${column}, and is not tried on its new type before post-data`);
    }
    barred.push(...(await refusingDomains(context, transformation, qualified)));
    noted.push(...(await bodies(context, transformation, qualified)));
  }
  if (barred.length > 0) {
    return {
      outcome: 'fail',
      found: listed(barred, '; '),
      expected:
        'no view over a column whose type changes or that is dropped, and no check, domain that is not null, or publication of a column that is dropped',
      fix: 'drop them on the source first, and make them on the target after the migration if need be, or keep the columns as they are',
    };
  }
  if (noted.length > 0)
    return { outcome: 'warn', found: listed(noted, '; '), expected: 'that nobody needs them as they are' };
  return pass('nothing that would go unnoticed');
}

/** A dropped column is NULL on the target for as long as it is there, which its domain may not take. */
async function refusingDomains(
  context: CheckContext,
  { table, columns }: Transformation,
  qualified: string,
): Promise<string[]> {
  const dropped = Object.keys(columns).filter((column) => columns[column]?.drop);
  const rows = await context.rows<{ column: string; type: string }>('source', domainsSql, [qualified, dropped]);
  const refusing: string[] = [];
  for (const { column, type } of rows) {
    await context
      .session('source')
      .query(singleStatement(`select null::${type}`))
      .catch((error: unknown) => {
        if (!(error instanceof DatabaseError) || !error.code?.startsWith('23')) throw error;
        refusing.push(`the domain ${type} would refuse rows, because ${table}.${column} is NULL until it is dropped`);
      });
  }
  return refusing;
}

async function bodies(context: CheckContext, { table, columns }: Transformation, qualified: string): Promise<string[]> {
  const gone = Object.keys(columns).filter((column) => columns[column]?.drop || columns[column]?.rename !== undefined);
  const rows = await context.rows<{ column: string; what: string }>('source', functionsSql, [
    qualified,
    gone,
    gone.map(asWord),
    asWord(table.slice(table.indexOf('.') + 1)),
  ]);
  return rows.map(({ column, what }) => `the function ${what} speaks of ${column}, perhaps of ${table}.${column}`);
}

function asWord(name: string): string {
  return `\\m${name.replaceAll(/[^\p{L}\p{N}_]/gu, '\\$&')}\\M`;
}
