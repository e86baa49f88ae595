// Objects of the source that need a decision, or that come out on the target other than they went in.
import { quoteIdentifier, quoteQualified } from '../identifier';
import { listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

/** A check that lists what one query finds on the source, and warns of it. */
function listing(
  name: string,
  title: string,
  sql: string,
  words: { none: string; found: (names: string[]) => string; expected: string; fix?: (rows: Named[]) => string },
): PreflightCheck {
  return {
    name,
    title,
    side: 'source',
    async look(context): Promise<Finding> {
      const rows = await context.rows<Named>('source', sql);
      if (rows.length === 0) return pass(words.none);
      const names = rows.map(
        ({ schema, name: object, detail }) => `${schema ? `${schema}.` : ''}${object}${detail ? ` (${detail})` : ''}`,
      );
      return {
        outcome: 'warn',
        found: words.found(names),
        expected: words.expected,
        ...(words.fix ? { fix: words.fix(rows) } : {}),
      };
    },
  };
}

interface Named {
  schema: string | null;
  name: string;
  detail: string | null;
  [column: string]: string | null;
}

const userSchemas = `n.nspname !~ '^pg_' and n.nspname <> 'information_schema'`;
const notOfExtension = (catalog: string, oid: string): string =>
  `not exists (select from pg_depend d where d.classid = '${catalog}'::regclass and d.objid = ${oid} and d.deptype = 'e')`;

export const objectChecks: PreflightCheck[] = [
  listing(
    'foreign-tables',
    'Foreign tables and servers',
    `select null as schema, s.srvname as name, count(t.ftrelid) || ' tables, ' ||
       (select count(*) from pg_user_mappings m where m.srvid = s.oid) || ' user mappings' as detail
     from pg_foreign_server s left join pg_foreign_table t on t.ftserver = s.oid group by s.oid order by s.srvname`,
    {
      none: 'none',
      found: (names) => `definitions are carried, remote rows are not copied: server ${listed(names)}`,
      expected: 'that the target may reach them from its network, with passwords in its user mappings',
    },
  ),
  listing(
    'publications',
    'Publications for other consumers',
    `select null as schema, pubname as name, null as detail from pg_publication order by 1, 2`,
    {
      none: 'none',
      found: (names) => `${listed(names)}: their definitions are carried, the positions of their readers cannot be`,
      expected: 'a decision how each reader (Debezium, warehouse, subscriber) starts anew on the target',
    },
  ),
  {
    name: 'subscriptions',
    title: 'Subscriptions that write to the source',
    side: 'source',
    look: subscriptions,
  },
  listing(
    'replication-slots',
    'Replication slots on the source',
    `select null as schema, slot_name as name, slot_type || case when active then ', in use' else ', idle' end as detail
     from pg_replication_slots where slot_type = 'physical' or database = current_database() order by 2`,
    {
      none: 'none',
      found: (names) => `${listed(names)}: slots and their positions do not travel`,
      expected: 'a decision how each consumer starts anew on the target; idle slots fill the disk of the source',
    },
  ),
  listing(
    'event-triggers',
    'Event triggers',
    `select null as schema, evtname as name, evtevent || case evtenabled when 'D' then ', disabled' when 'A' then ', always' else '' end as detail
     from pg_event_trigger e where ${notOfExtension('pg_event_trigger', 'e.oid')} order by 2`,
    {
      none: 'none',
      found: (names) => `${listed(names)}: they are created last, so that they do not fire while the schema is built`,
      expected: 'that nothing on the target depends on them before the switch',
    },
  ),
  listing(
    'invalid-indexes',
    'Invalid indexes',
    `select n.nspname as schema, c.relname as name, case when i.indisunique then 'unique' end as detail
     from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
     where not i.indisvalid and c.relkind = 'i' and ${userSchemas} order by 1, 2`,
    {
      none: 'none',
      found: (names) =>
        `a failed CREATE INDEX CONCURRENTLY left ${listed(names)}; dumps leave them out, so the target will not have them`,
      expected: 'indexes that are valid, or gone',
      fix: (rows) => statements(rows.map(({ schema, name }) => `REINDEX INDEX ${quoteQualified(schema ?? '', name)}`)),
    },
  ),
  listing(
    'unvalidated-constraints',
    'Constraints that are not validated',
    `select n.nspname as schema, t.relname as name, c.conname as detail
     from pg_constraint c join pg_class t on t.oid = c.conrelid join pg_namespace n on n.oid = c.connamespace
     where not c.convalidated and ${userSchemas} order by 1, 2, 3`,
    {
      none: 'none',
      found: (names) => `NOT VALID, and carried as such: ${listed(names)}`,
      expected: 'that it is known that older rows may break them',
      fix: (rows) =>
        statements(
          rows.map(
            ({ schema, name, detail }) =>
              `ALTER TABLE ${quoteQualified(schema ?? '', name)} VALIDATE CONSTRAINT ${quoteIdentifier(detail ?? '')}`,
          ),
        ),
    },
  ),
  listing(
    'number-references',
    'Columns that name objects by number',
    `select n.nspname as schema, c.relname || '.' || a.attname as name, t.typname as detail
     from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace join pg_type t on t.oid = a.atttypid
     where c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped and ${userSchemas}
       and t.typname in ('oid', 'xid', 'xid8', 'cid', 'tid', 'pg_lsn', 'pg_snapshot', 'txid_snapshot', 'regclass', 'regproc', 'regprocedure', 'regtype', 'regoper', 'regoperator', 'regrole', 'regnamespace', 'regconfig', 'regdictionary', 'regcollation')
       and t.typnamespace = 'pg_catalog'::regnamespace order by 1, 2`,
    {
      none: 'none',
      found: (names) =>
        `${listed(names)}: reg* values travel by name; oid (but those of large objects), xid and pg_lsn values mean nothing on another server`,
      expected: 'that nobody relies on such numbers',
    },
  ),
  {
    name: 'languages',
    title: 'Functions in C and untrusted languages',
    side: 'target',
    needs: ['source', 'target'],
    look: languages,
  },
  {
    name: 'tablespaces',
    title: 'Tablespaces in use exist on the target',
    side: 'target',
    needs: ['source', 'target'],
    look: tablespaces,
  },
  { name: 'scheduled-jobs', title: 'Scheduled jobs', side: 'source', look: scheduledJobs },
  {
    name: 'temporary-tables',
    title: 'Temporary tables of sessions',
    side: 'source',
    async look(context) {
      const count = Number(
        await context.value(
          'source',
          `select count(*) from pg_class where relpersistence = 't' and relkind in ('r', 'p')`,
        ),
      );
      return pass(count === 0 ? 'none' : `${count}: they end with their sessions at the fence and are not copied`);
    },
  },
];

/** An apply worker writes right through any fence. */
async function subscriptions(context: CheckContext): Promise<Finding> {
  const rows = await context.rows<{ name: string; enabled: string }>(
    'source',
    `select subname as name, subenabled as enabled from pg_subscription
     where subdbid = (select oid from pg_database where datname = current_database()) order by 1`,
  );
  if (rows.length === 0) return pass('none');
  const enabled = rows.filter(({ enabled: on }) => on === 't').map(({ name }) => name);
  if (enabled.length === 0) {
    return {
      outcome: 'warn',
      found: `disabled: ${listed(rows.map(({ name }) => name))}; subscriptions do not travel`,
      expected: 'a decision whether the target needs them',
    };
  }
  return {
    outcome: 'fail',
    found: `${listed(enabled)}: its apply worker writes to the source whatever keeps sessions out`,
    expected: 'no enabled subscription, or the rows that it brings would be lost',
    fix: statements(enabled.map((name) => `ALTER SUBSCRIPTION ${quoteIdentifier(name)} DISABLE`)),
  };
}

async function languages(context: CheckContext): Promise<Finding> {
  const rows = await context.rows<{ name: string; language: string; library: string | null }>(
    'source',
    `select n.nspname || '.' || p.proname as name, l.lanname as language, p.probin as library
     from pg_proc p join pg_language l on l.oid = p.prolang join pg_namespace n on n.oid = p.pronamespace
     where p.oid >= 16384 and l.lanname not in ('sql', 'internal') and not l.lanpltrusted
       and ${userSchemas} and ${notOfExtension('pg_proc', 'p.oid')} order by 1`,
  );
  if (rows.length === 0) return pass('none');
  const found = listed(
    rows.map(({ name, language, library }) => `${name} (${language}${library ? `, ${library}` : ''})`),
  );
  const { superuser, user } = await context.server('target');
  if (!superuser) {
    return {
      outcome: 'fail',
      found: `${user} may not create ${found} on the target`,
      expected: 'a superuser, since the languages are not trusted',
      fix: `ALTER ROLE ${quoteIdentifier(user)} SUPERUSER;`,
    };
  }
  return {
    outcome: 'warn',
    found,
    expected: 'the same libraries on the target’s machine: a function without its library cannot be created',
  };
}

async function tablespaces(context: CheckContext): Promise<Finding> {
  const used = await context.rows<{ name: string }>(
    'source',
    `select spcname as name from pg_tablespace where spcname !~ '^pg_' and (oid in (select reltablespace from pg_class)
       or oid = (select dattablespace from pg_database where datname = current_database())) order by 1`,
  );
  if (used.length === 0) return pass('only the default');
  const there = await context.rows<{ name: string }>('target', 'select spcname as name from pg_tablespace');
  const missing = used.filter(({ name }) => !there.some((row) => row.name === name)).map(({ name }) => name);
  if (missing.length === 0) return pass(listed(used.map(({ name }) => name)));
  return {
    outcome: 'fail',
    found: `missing on the target: ${listed(missing)}`,
    expected: 'tablespaces of the same names',
    fix: statements(
      missing.map(
        (name) =>
          `CREATE TABLESPACE ${quoteIdentifier(name)} LOCATION '/path/on/the/target/${name.replaceAll("'", '')}'`,
      ),
    ),
  };
}

async function scheduledJobs(context: CheckContext): Promise<Finding> {
  const there = await context.rows<{ cron: string | null; agent: string | null }>(
    'source',
    `select to_regclass('cron.job')::text as cron, to_regclass('pgagent.pga_job')::text as agent`,
  );
  const tables = [there[0]?.cron, there[0]?.agent].filter((table) => table !== null && table !== undefined);
  if (tables.length === 0) return pass('neither pg_cron nor pgAgent is in this database');
  const counts: string[] = [];
  for (const table of tables)
    counts.push(`${await context.value('source', `select count(*) from ${table}`)} in ${table}`);
  return {
    outcome: 'warn',
    found: `jobs: ${counts.join(', ')}; on the source they stop at the fence, on the target they must not run before the switch`,
    expected: 'a decision when they start on the target',
    fix: there[0]?.cron
      ? 'UPDATE cron.job SET active = false; -- on the target before the switch, true after it'
      : undefined,
  };
}
