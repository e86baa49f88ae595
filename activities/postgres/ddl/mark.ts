// Whether any definition may have changed, without reading one: a number over the places and writers of all rows of the catalogues that
// a fingerprint reads. Equal marks are equal schemas; different ones only say that it is worth reading, since a truncated table or
// a replica identity changes them too. What is ours and what is temporary does not count.
import { ledgerSchema } from '../scope';

/** What users make is numbered from here on. */
const firstOfUsers = 16384;

const notOurs = (relation: string): string =>
  `${relation} >= ${firstOfUsers} and not ${relation} in (select oid from ours)`;

const catalogues: [name: string, condition: string][] = [
  ['pg_class', `t.relkind <> 't' and ${notOurs('t.oid')}`],
  ['pg_attribute', `t.attnum > 0 and ${notOurs('t.attrelid')}`],
  ['pg_attrdef', notOurs('t.adrelid')],
  ['pg_constraint', `t.oid >= ${firstOfUsers} and not t.conrelid in (select oid from ours)`],
  ['pg_index', notOurs('t.indexrelid')],
  ['pg_inherits', notOurs('t.inhrelid')],
  ['pg_trigger', notOurs('t.tgrelid')],
  ['pg_rewrite', notOurs('t.ev_class')],
  ['pg_policy', notOurs('t.polrelid')],
  ['pg_sequence', notOurs('t.seqrelid')],
  ['pg_type', `t.oid >= ${firstOfUsers} and not t.typnamespace in (select oid from hidden)`],
  ['pg_proc', `t.oid >= ${firstOfUsers} and not t.pronamespace in (select oid from hidden)`],
  ['pg_aggregate', `t.aggfnoid >= ${firstOfUsers}`],
  ['pg_enum', 'true'],
  ['pg_range', `t.rngtypid >= ${firstOfUsers}`],
  ['pg_namespace', 'not t.oid in (select oid from hidden)'],
  ['pg_extension', 'true'],
  ['pg_event_trigger', `t.evtname !~ '^${ledgerSchema}_'`],
];

/** An expression that gives the mark as text; needs no parameter. */
export const markSql = `(
  with hidden as materialized (
    select oid from pg_namespace where nspname ~ '^pg_(temp|toast)' or nspname = '${ledgerSchema}'
  ), ours as materialized (
    select oid from pg_class where relnamespace in (select oid from hidden)
  )
  select count(*) || ' ' || coalesce(sum(hashtextextended(at, 0)), 0) from (
${catalogues
  .map(
    ([name, condition]) =>
      `    select '${name} ' || t.xmin || ' ' || t.ctid::text as at from ${name} t where ${condition}`,
  )
  .join('\n    union all\n')}
  ) entry)`;
