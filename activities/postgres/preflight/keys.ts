// Tables whose rows cannot be told apart. Copied all the same, and compared as a whole; but an update of a published table without
// identity fails for the application, so with CDC they are refused, or streamed by all of their columns where the plan says so.
import { quoteQualified } from '../identifier';
import type { SelectedTable } from '../tables';
import { counted, listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';
import { bytesText } from './disk';
import { writesToBoth } from './dual-write';
import { shownName, streamedTables, streams } from './streaming';

export const keyChecks: PreflightCheck[] = [
  { name: 'tables-without-key', title: 'Every table has a key', side: 'source', look: withoutKey },
];

async function withoutKey(context: CheckContext): Promise<Finding> {
  const tables = await context.tables();
  const found = tables.filter(({ key }) => !key);
  if (found.length === 0) return pass(`${counted(tables.length, 'table')}, each with a key`);
  if (writesToBoth(context)) {
    return {
      outcome: 'fail',
      found: `${counted(found.length, 'table')} without primary key or fit unique index, whose rows cannot be told apart while both sides are written to: ${listed(found.map(shownName))}`,
      expected: 'a key for each table, or another strategy',
      fix: `${adding(found)} -- or set strategy to "cdc" or "big-bang" in the plan, or leave the tables out in plan.tables`,
    };
  }
  const streamed = streams(context) ? await streamedWithout(context) : [];
  if (streamed.length > 0) return toStream(context, streamed);
  return {
    outcome: 'warn',
    found: `${counted(found.length, 'table')} without primary key or fit unique index: ${listed(found.map(shownName))}`,
    expected: 'a key, so that a difference can be told by row; streaming needs one',
    fix: adding(found),
  };
}

/** Those that somebody has given the identity FULL already are fit to be streamed. */
async function streamedWithout(context: CheckContext): Promise<SelectedTable[]> {
  const tables = (await streamedTables(context)).filter(({ key }) => !key);
  const full = await context.rows<{ oid: string }>(
    'source',
    `select oid from pg_class where oid = any($1::oid[]) and relreplident = 'f'`,
    [tables.map(({ oid }) => oid)],
  );
  const oids = new Set(full.map(({ oid }) => oid));
  return context.input.cdc?.tablesWithoutKey === 'full' ? tables : tables.filter(({ oid }) => !oids.has(oid));
}

async function toStream(context: CheckContext, tables: SelectedTable[]): Promise<Finding> {
  if (context.input.cdc?.tablesWithoutKey !== 'full') {
    return {
      outcome: 'fail',
      found: `${counted(tables.length, 'table')} without primary key or fit unique index, whose updates and deletes would fail once they are published: ${listed(tables.map(shownName))}`,
      expected: 'a key, or cdc.tablesWithoutKey "full"',
      fix: `${adding(tables)} -- or set cdc.tablesWithoutKey to "full" in the plan`,
    };
  }
  const incomparable = await withoutEquality(context, tables);
  if (incomparable.length > 0) {
    return {
      outcome: 'fail',
      found: `rows without a key are found by all of their columns, and these have no equality: ${listed(incomparable.map(({ text }) => text))}`,
      expected: 'a key for these tables',
      fix: adding(incomparable.map(({ table }) => table)),
    };
  }
  return {
    outcome: 'warn',
    found: `REPLICA IDENTITY FULL for ${listed(tables.map((table) => `${shownName(table)} (${bytesText(table.bytes)})`))}: each update or delete reads the whole table where it is applied, unless an index helps`,
    expected: 'a key; or tables that are small, or only inserted into',
    fix: adding(tables),
  };
}

/** The apply worker stops at an update of such a row. Domains are of their base type, arrays of their elements. */
async function withoutEquality(
  context: CheckContext,
  tables: SelectedTable[],
): Promise<{ table: SelectedTable; text: string }[]> {
  const rows = await context.rows<{ oid: string; columns: string }>(
    'source',
    `with recursive base as (
       select a.attrelid, a.attname, a.attnum, a.atttypid as type from pg_attribute a
       where a.attrelid = any($1::oid[]) and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
       union all select base.attrelid, base.attname, base.attnum, case t.typtype when 'd' then t.typbasetype else t.typelem end
       from base join pg_type t on t.oid = base.type and (t.typtype = 'd' or t.typcategory = 'A')
     )
     select base.attrelid as oid, string_agg(base.attname || ' ' || format_type(base.type, null), ', ' order by base.attnum) as columns
     from base join pg_type t on t.oid = base.type
     where t.typtype = 'b' and t.typcategory <> 'A' and not exists (
       select from pg_opclass o join pg_am m on m.oid = o.opcmethod where o.opcdefault and m.amname in ('btree', 'hash')
         and (o.opcintype = t.oid or exists (select from pg_cast k where k.castsource = t.oid and k.casttarget = o.opcintype and k.castmethod = 'b' and k.castcontext = 'i')))
     group by 1`,
    [tables.map(({ oid }) => oid)],
  );
  return tables.flatMap((table) => {
    const row = rows.find(({ oid }) => oid === table.oid);
    return row ? [{ table, text: `${shownName(table)} (${row.columns})` }] : [];
  });
}

function adding(tables: SelectedTable[]): string {
  return statements(
    tables.map(({ schema, name }) => `ALTER TABLE ${quoteQualified(schema, name)} ADD PRIMARY KEY (…)`),
  );
}
