// Objects of the source that streams treat in a way of their own: identities that must change, triggers that fire although they were
// fired before, generated keys, partitions, publications that would take our tables along, and what earlier migrations left.
import { z } from 'zod';
import { quoteIdentifier, quoteQualified } from '../identifier';
import { ledgerSchema } from '../scope';
import { streamPrefix } from '../stream/names';
import { counted, listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';
import { shownName, streamedTables, writingSides } from './streaming';

const names = z.array(z.string());

export const replicationObjectChecks: PreflightCheck[] = [
  {
    name: 'replica-identities',
    title: 'Updates and deletes can be told apart by row',
    side: 'source',
    look: identities,
  },
  {
    name: 'apply-triggers',
    title: 'No trigger fires again where rows are applied',
    side: 'source',
    look: applyTriggers,
  },
  {
    name: 'generated-keys',
    title: 'No key is generated',
    side: 'source',
    needs: ['source', 'target'],
    look: generatedKeys,
  },
  {
    name: 'partitions',
    title: 'Partitions stay as they are while they are streamed',
    side: 'source',
    look: partitions,
  },
  {
    name: 'publications-for-all',
    title: 'No publication of others takes every table',
    side: 'source',
    look: publicationsForAll,
  },
  {
    name: 'replication-leftovers',
    title: 'No earlier migration has left streams behind',
    side: 'both',
    look: leftovers,
  },
];

/** Changed for the time of the migration, and put back: the one thing besides a schema of ours that the source gets before the switch. */
async function identities(context: CheckContext): Promise<Finding> {
  const tables = await streamedTables(context);
  const full = context.input.cdc?.tablesWithoutKey === 'full';
  const rows = await context.rows<{ oid: string; schema: string; name: string; identity: string; primary_key: string }>(
    'source',
    `select c.oid, n.nspname as schema, c.relname as name,
       case when c.relreplident = 'i' and not exists (select from pg_index i where i.indrelid = c.oid and i.indisreplident) then 'n' else c.relreplident end as identity,
       exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary and i.indimmediate and i.indisvalid) as primary_key
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = any($1::oid[]) order by 2, 3`,
    [tables.map(({ oid }) => oid)],
  );
  const keys = new Map(tables.map(({ oid, key }) => [oid, key]));
  const changed = rows.flatMap((row) => {
    if (row.identity === 'f' || row.identity === 'i' || (row.identity === 'd' && row.primary_key === 't')) return [];
    if (row.primary_key === 't') return [`${shownName(row)} (DEFAULT)`];
    if (keys.get(row.oid)) return [`${shownName(row)} (USING INDEX over ${keys.get(row.oid)?.join(', ')})`];
    return full ? [`${shownName(row)} (FULL)`] : [];
  });
  if (changed.length === 0) return pass(`${counted(tables.length, 'table')}, nothing to be changed`);
  return {
    outcome: 'warn',
    found: `REPLICA IDENTITY is set for the time of the migration, and put back after it: ${listed(changed)}`,
    expected: 'that the source may be changed so; each takes an exclusive lock of its table for a moment',
  };
}

async function applyTriggers(context: CheckContext): Promise<Finding> {
  const tables = await streamedTables(context);
  const rows = await context.rows<{ schema: string; table: string; name: string; enabled: string }>(
    'source',
    `select n.nspname as schema, c.relname as table, t.tgname as name, case t.tgenabled when 'A' then 'ALWAYS' else 'REPLICA' end as enabled
     from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
     where t.tgrelid = any($1::oid[]) and not t.tgisinternal and t.tgenabled in ('A', 'R') order by 1, 2, 3`,
    [tables.map(({ oid }) => oid)],
  );
  if (rows.length === 0) return pass('none is ENABLE ALWAYS or ENABLE REPLICA');
  return {
    outcome: 'fail',
    found: listed(rows.map(({ schema, table, name, enabled }) => `${name} of ${schema}.${table} (ENABLE ${enabled})`)),
    expected: `none: on the side that follows it fires for rows whose own triggers have fired where they were written, and does its work twice. Waive it where it changes nothing but its own row`,
    fix: statements(
      rows.map(
        ({ schema, table, name }) =>
          `ALTER TABLE ${quoteQualified(schema, table)} ENABLE TRIGGER ${quoteIdentifier(name)}`,
      ),
    ),
  };
}

/** From here on an update fails when the identity of its row has a generated column, which nobody publishes. */
const strictMajor = 18;

/** Identities that somebody has chosen come before any other key: an index with its columns, or FULL. */
const chosenSql = `
select c.oid, c.relreplident = 'f' as whole, (select json_agg(a.attname) from pg_index i cross join lateral unnest(i.indkey::int2[]) as k(attnum)
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum where i.indrelid = c.oid and i.indisreplident) as columns
from pg_class c where c.oid = any($1::oid[]) and c.relreplident in ('i', 'f')`;

async function generatedKeys(context: CheckContext): Promise<Finding> {
  const tables = (await streamedTables(context)).filter(({ columns }) => columns.some(({ generated }) => generated));
  if (tables.length === 0) return pass('no generated columns');
  const majors = await Promise.all(writingSides(context).map(async (side) => (await context.server(side)).major));
  const strict = Math.max(...majors) >= strictMajor;
  const rows = await context.rows<{ oid: string; whole: string; columns: string | null }>('source', chosenSql, [
    tables.map(({ oid }) => oid),
  ]);
  const chosen = new Map(
    rows.map(({ oid, whole, columns }) => [oid, whole === 't' ? undefined : names.parse(JSON.parse(columns ?? '[]'))]),
  );
  const found = tables.flatMap((table) => {
    const generated = table.columns.filter((column) => column.generated).map(({ name }) => name);
    const key = chosen.has(table.oid) ? chosen.get(table.oid) : table.key;
    const full = chosen.has(table.oid) || context.input.cdc?.tablesWithoutKey === 'full';
    const wrong = key ? generated.filter((name) => key.includes(name)) : full && strict ? generated : [];
    return wrong.length > 0 ? [{ table, key, wrong: wrong.join(', ') }] : [];
  });
  if (found.length === 0) {
    return pass(`${counted(tables.length, 'table')} with generated columns, which each side computes by itself`);
  }
  return {
    outcome: 'fail',
    found: listed(
      found.map(({ table, key, wrong }) =>
        key
          ? `the key of ${shownName(table)} has the generated ${wrong}`
          : `${shownName(table)} is told apart by all of its columns, the generated ${wrong} among them, so that its updates would fail on PostgreSQL ${strictMajor}`,
      ),
      '; ',
    ),
    expected: 'keys of columns that are written: generated ones are not streamed, and rows would not be found',
    fix: statements(
      found.flatMap(({ table: { schema, name, key: there }, key }) => {
        const table = quoteQualified(schema, name);
        const index = `${name}_identity`;
        return key
          ? [
              `CREATE UNIQUE INDEX ${quoteIdentifier(index)} ON ${table} (…)`,
              `ALTER TABLE ${table} REPLICA IDENTITY USING INDEX ${quoteIdentifier(index)}`,
            ]
          : [`ALTER TABLE ${table} ${there ? 'REPLICA IDENTITY DEFAULT' : 'ADD PRIMARY KEY (…)'}`];
      }),
    ),
  };
}

async function partitions(context: CheckContext): Promise<Finding> {
  const leaves = (await streamedTables(context)).filter(({ partitionOf }) => partitionOf !== undefined);
  if (leaves.length === 0) return pass('no partitioned tables');
  const roots = [...new Set(leaves.map(({ partitionOf }) => partitionOf ?? ''))];
  const found = `${counted(leaves.length, 'partition')} of ${listed(roots)}, streamed one by one into the same on the other side`;
  const partman = await context.value('source', `select extname from pg_extension where extname = 'pg_partman'`);
  if (partman === null) return pass(`${found}; those made or dropped on the way stop the way to cutover`);
  return {
    outcome: 'warn',
    found: `${found}; pg_partman makes and drops partitions, which stops the way to cutover when it happens on the way`,
    expected: 'all partitions that are needed until the way back is given up, made before the start',
    fix: 'SELECT partman.run_maintenance(); -- with premake raised; then pause its job until the migration has ended',
  };
}

/** Their readers would be sent our marker tables, which they do not have: a subscription stops at that. */
async function publicationsForAll(context: CheckContext): Promise<Finding> {
  const rows = await context.rows<{ name: string }>(
    'source',
    'select pubname as name from pg_publication where puballtables order by 1',
  );
  if (rows.length === 0) return pass('none');
  const readers = await context.rows<{ name: string }>(
    'source',
    `select slot_name as name from pg_replication_slots where slot_type = 'logical' and database = current_database()
       and not starts_with(slot_name::text, $1) order by 1`,
    [streamPrefix(context.input.scope.migration)],
  );
  const publications = rows.map(({ name }) => name);
  return {
    outcome: readers.length > 0 ? 'fail' : 'warn',
    found: `FOR ALL TABLES: ${listed(publications)}${readers.length > 0 ? `; slots of readers: ${listed(readers.map(({ name }) => name))}` : '; no slot reads here now'}`,
    expected: `publications that name their tables: the schema ${ledgerSchema} with our markers would be sent to their readers as well, and stops a subscription that lacks it. Waive it where the readers do not mind`,
    fix: `${statements(publications.map((name) => `CREATE PUBLICATION ${quoteIdentifier(`${name}_tables`)} FOR TABLES IN SCHEMA public`))} -- FOR TABLE … before PostgreSQL 15; then move the readers to it (ALTER SUBSCRIPTION … SET PUBLICATION) and drop the old one`,
  };
}

interface Leftover {
  kind: string;
  name: string;
  [column: string]: string;
}

const leftoversSql = `
select 'slot' as kind, slot_name::text as name from pg_replication_slots where database = current_database() and starts_with(slot_name::text, $1)
union all select 'subscription', subname from pg_subscription
  where subdbid = (select oid from pg_database where datname = current_database()) and starts_with(subname::text, $1)
union all select 'publication', pubname from pg_publication where starts_with(pubname::text, $1)
union all select 'event trigger', evtname from pg_event_trigger where starts_with(evtname::text, $1)
order by 1 desc, 2`;

async function leftovers(context: CheckContext): Promise<Finding> {
  const own = streamPrefix(context.input.scope.migration);
  const found: { text: string; ours: boolean; holds: boolean }[] = [];
  for (const side of ['source', 'target'] as const) {
    const rows = await context.rows<Leftover>(side, leftoversSql, [`${ledgerSchema}_`]);
    for (const { kind, name } of rows) {
      found.push({
        text: `${kind} ${name} on the ${side}`,
        ours: name.startsWith(own),
        holds: kind === 'slot' || kind === 'subscription',
      });
    }
  }
  if (found.length === 0) return pass('none');
  const mine = found.some(({ ours, holds }) => ours && holds);
  return {
    outcome: mine ? 'fail' : 'warn',
    found: `${listed(found.map(({ text }) => text))}: ${mine ? 'of an earlier run of this migration, whose streams would go on' : 'of other migrations, which may still run'}`,
    expected: 'none: a forgotten slot fills the disk of its server',
    fix: `cutover reap PLAN --dry-run # shows which belong to nobody; without --dry-run it removes those`,
  };
}
