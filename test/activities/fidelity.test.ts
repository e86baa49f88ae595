// The comparison of two schemas finds what is different, only that, and leaves no trace on the target.
import { createAwkwardDatabase, createAwkwardRoles } from '../fixtures/awkward-database';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { onDatabase, startSchemaRig, type SchemaRig } from '../fixtures/schema-rig';

let pair: PostgresPair;
let rig: SchemaRig;

/** What somebody does to the target, and how the comparison must name it. */
const planted: [sql: string, found: string][] = [
  ['drop index public.people_gin', 'index public.people_gin: only source'],
  ['create index new_one on public.wide (id)', 'index public.new_one: only target'],
  [
    'drop index public.people_partial; create index people_partial on public.people (department) where nickname is null',
    'index public.people_partial: definition',
  ],
  [
    `drop index public.people_search; create index people_search on public.people using gin (to_tsvector('simple', body))`,
    'index public.people_search: definition',
  ],
  [`alter table public.evolved alter added set default 43`, 'column public.evolved.added: default'],
  [`alter table public.evolved alter name drop not null`, 'column public.evolved.name: not null'],
  [`alter table public.wide alter body set statistics 322`, 'column public.wide.body: statistics target'],
  [`alter table public.wide alter id set (n_distinct = -0.4)`, 'column public.wide.id: options'],
  [`alter table public.wide alter outside set storage external`, 'column public.wide.outside: storage'],
  [`alter table public.wide alter packed set compression default`, 'column public.wide.packed: compression'],
  [`alter table public.wide set (fillfactor = 81)`, 'relation public.wide: options'],
  [`alter table public.wide set (toast.autovacuum_enabled = on)`, 'relation public.wide: toast options'],
  [`alter table types.collated alter c type text collate "POSIX"`, 'column types.collated.c: collation'],
  [`comment on column public.adults.nick is 'other words'`, 'column public.adults.nick: comment'],
  [`comment on constraint unique_email on public.people is null`, 'constraint unique_email on public.people: comment'],
  [`grant insert on sales.animals to "Awkward Reader"`, 'relation sales.animals: privileges'],
  [`revoke select (email) on public.people from "Awkward Reader"`, 'column public.people.email: privileges'],
  [`revoke execute on function public.elevated() from "Awkward Reader"`, 'function public.elevated(): privileges'],
  [`grant usage on type types.address to public`, 'type types.address: privileges'],
  [
    `alter default privileges in schema sales revoke select on tables from "Awkward Reader"`,
    'default privileges of postgres in schema sales on tables: only source',
  ],
  [`alter table public."Case" owner to awkward_former`, 'relation public."Case": owner'],
  [
    `alter policy own_rows on private.secrets using (owner = current_user or true)`,
    'policy own_rows on private.secrets: using',
  ],
  [
    `alter policy "Readers See" on private.secrets using (id in (select id from public.people where id > 1))`,
    'policy "Readers See" on private.secrets: using',
  ],
  [`alter policy everybody on public.people to awkward_app`, 'policy everybody on public.people: roles'],
  [`alter table private.secrets no force row level security`, 'relation private.secrets: row security forced'],
  [`alter table public."user" enable trigger "Logs always"`, 'trigger "Logs always" on public."user": enabled'],
  [`drop trigger counts on public.wide`, 'trigger counts on public.wide: only source'],
  [`alter table public.people enable rule log_delete`, 'rule log_delete on public.people: enabled'],
  [
    `create or replace rule no_update as on update to public."user" where old."table" < 6 do instead nothing`,
    'rule no_update on public."user": definition',
  ],
  [`alter type types.mood rename value 'calm' to 'calmer'`, 'type types.mood: labels'],
  [
    `alter domain types.small_positive drop constraint "less than 100"`,
    'domain constraint "less than 100" on types.small_positive: only source',
  ],
  [
    `create or replace function public.add(a text, b text) returns text language sql immutable as 'select b || a'`,
    'function public.add(a text, b text): definition',
  ],
  [
    `create or replace function public.new_style(x integer, out y integer, out z text) language sql stable begin atomic select x + 2, 'z' || x; end`,
    'function public.new_style(x integer, OUT y integer, OUT z text): definition',
  ],
  [`alter function public.elevated() reset search_path`, 'function public.elevated(): definition'],
  [
    `create or replace view sales.invoker with (security_invoker) as select o.region, sum(o.amount) filter (where o.note is null) as total, count(*) from sales.orders o group by cube (o.region)`,
    'relation sales.invoker: definition',
  ],
  [`alter view public.barrier reset (security_barrier)`, 'relation public.barrier: options'],
  [`refresh materialized view public.not_yet`, 'relation public.not_yet: populated'],
  [`alter statistics public."people stats" set statistics 56`, 'statistics public."people stats": target'],
  [
    `drop statistics public.people_expressions; create statistics public.people_expressions on (lower(email)), (id % 11) from public.people; comment on statistics public.people_expressions is 'over expressions'`,
    'statistics public.people_expressions: definition',
  ],
  [`alter table public.orphans drop constraint positive`, 'constraint positive on public.orphans: only source'],
  [
    `alter table public.hashed drop constraint by_function; alter table public.hashed add constraint by_function check (public.add(id, 2) > 0)`,
    'constraint by_function on public.hashed: definition',
  ],
  [
    `alter table public.people alter constraint department_exists not deferrable`,
    'constraint department_exists on public.people: definition',
  ],
  [`alter table public.departments replica identity default`, 'relation public.departments: replica identity'],
  [`alter table public.departments set without cluster`, 'index public.departments_pkey: clustered'],
  [`alter sequence public.downwards cycle`, 'sequence public.downwards: cycles'],
  [`alter sequence sales."Seq" owned by none`, 'sequence sales."Seq": owned by'],
  [`alter event trigger asleep enable`, 'event trigger asleep: enabled'],
  [
    `alter publication of_some drop table public.departments`,
    'published table public.departments in of_some: only source',
  ],
  [`alter publication of_schema set (publish = 'insert')`, 'publication of_schema: publishes'],
  [`alter server "remote server" options (set host '127.0.0.2')`, 'foreign server "remote server": options'],
  [`drop cast (integer as types.mood)`, 'cast (integer as types.mood): only source'],
  [
    `alter text search configuration types.words_only drop mapping for word`,
    'text search configuration types.words_only: mapping',
  ],
  [`alter table sales.puppies no inherit sales.dogs`, 'relation sales.puppies: parents'],
  [`alter schema private owner to awkward_former`, 'schema private: owner'],
  [`alter table public.unlogged set logged`, 'relation public.unlogged: persistence'],
  [`grant select on large object 700002 to awkward_app`, 'large objects of postgres with awkward_app=SELECT/postgres'],
  [
    `do $$ begin execute format('alter database %I set work_mem = %L', current_database(), '8MB'); end $$`,
    'settings in this database of everybody: settings',
  ],
  [
    `revoke execute on function pg_catalog.pg_notify(text, text) from public`,
    'privileges on a system object function pg_catalog.pg_notify(pg_catalog.text,pg_catalog.text): only target',
  ],
  ['revoke usage on language sql from public', 'privileges on a system object language sql: only target'],
  [
    'revoke usage on type pg_catalog.float8 from public',
    'privileges on a system object type double precision: only target',
  ],
];

/** What follows of itself from the planted changes. */
const consequences = [
  'column sales.puppies.',
  'constraint animals_legs_check on sales.puppies: ',
  'column types.of_type.mood: default: ',
  'large objects of postgres with ',
  'relation public."Case": privileges: ',
  'relation public.unlogged_id_seq: persistence: ',
  'schema private: privileges: ',
];

beforeAll(async () => {
  pair = await startPair();
  await createAwkwardRoles(pair.target.url());
  rig = await startSchemaRig(pair, 'fidelity', createAwkwardDatabase);
  const { archive } = await rig.prepare();
  await rig.schema.carryDatabaseProperties({ scope: rig.scope });
  await rig.schema.buildPostData({ scope: rig.scope, archive, lanes: 2 });
  // The fixture's own triggers on DDL would stand in the way of what is planted.
  for (const url of [rig.sourceUrl, rig.targetUrl]) {
    await onDatabase(url, (client) => client.query('drop event trigger refuses_ddl'));
  }
});
afterAll(async () => {
  await rig.close();
  await pair.stop();
});

it('finds no difference between equal schemas of two major versions, and leaves nothing on the target', async () => {
  const fingerprint = (): Promise<unknown[]> =>
    onDatabase(rig.targetUrl, async (client) => {
      const { rows } = await client.query<{ n: string }>(
        `select count(*), max(oid) from pg_class union all select count(*), max(oid) from pg_proc union all select count(*), max(oid) from pg_rewrite
         union all select count(*), count(*) filter (where evtenabled <> 'D') from pg_event_trigger`,
      );
      return rows;
    });
  const before = await fingerprint();
  const compared = await rig.fidelity.compareFidelity({ scope: rig.scope, accept: [] });
  expect(compared).toMatchObject({ total: 0, differences: [] });
  expect(await fingerprint()).toEqual(before);
});

it.each(['connection-limit', 'revoke-connect'] as const)(
  'takes the fence on the source (%s) for no difference, and no change of the schema',
  async (mechanism) => {
    const { scope, fence, fidelity, schema } = rig;
    const side = 'source';
    const { catalog } = await schema.dumpSchema({ scope });
    const former = { ...(await fence.inspectAccess({ scope, side })), mechanism };
    await fence.raiseFence({ scope, side, former });
    try {
      await expect(fidelity.compareFidelity({ scope, accept: [] })).resolves.toMatchObject({ differences: [] });
      await expect(schema.compareSchemaWithDump({ scope, catalog })).resolves.toEqual({ changes: [] });
    } finally {
      await fence.lowerFence({ scope, side });
    }
    await expect(fidelity.compareFidelity({ scope, accept: [] })).resolves.toMatchObject({ differences: [] });
  },
);

it('finds each planted difference, names it, and finds nothing else; what the plan accepts is listed as accepted', async () => {
  await onDatabase(rig.targetUrl, async (client) => {
    for (const [sql] of planted) await client.query(sql);
  });
  const { scope, fidelity } = rig;
  const compared = await fidelity.compareFidelity({ scope, accept: [] });
  const missed = planted.filter(([, found]) => !compared.differences.some((line) => line.startsWith(found)));
  expect(missed).toEqual([]);
  const extra = compared.differences.filter(
    (line) => ![...consequences, ...planted.map(([, found]) => found)].some((known) => line.startsWith(known)),
  );
  expect(extra).toEqual([]);

  const line = compared.differences.find((one) => one.startsWith('sequence public.downwards: cycles: ')) ?? '';
  expect(line).toContain('source f, target t');
  const accept = ['index public.people_gin', 'column public.evolved.added: default', line, 'index public.misspelt'];
  const accepted = await fidelity.compareFidelity({ scope, accept });
  expect(accepted.total).toBe(compared.total - 3);
  expect(accepted.unused).toEqual(['index public.misspelt']);
  expect(accepted.accepted).toContain(`${line} (accepted by the plan)`);
  expect(accepted.accepted).toContain('index public.people_gin: only source (accepted by the plan)');
});

it('names that have become keywords in between are moved and compared like any other', async () => {
  const keywords = await startSchemaRig(pair, 'keywords', (url) =>
    onDatabase(url, async (client) => {
      await client.query(`
        create schema json_array;
        create table json_array.json (
          json int primary key references json_array.json, json_table text default 'x', merge_action text, system_user text,
          json_exists int generated always as (json + 1) stored, constraint json_query check (json > 0));
        create index merge_action on json_array.json (json_table, merge_action);
        create view json_array.json_scalar as select json, json_table from json_array.json;
        create type json_array.json_value as enum ('a');
        create function json_array.json_query(json int) returns int language sql as 'select 1';
        comment on column json_array.json.json is 'a keyword since 17';
        create sequence json_array.json_object owned by json_array.json.json_exists`);
    }),
  );
  try {
    const { archive } = await keywords.prepare();
    await keywords.schema.buildPostData({ scope: keywords.scope, archive, lanes: 2 });
    const { total, differences } = await keywords.fidelity.compareFidelity({ scope: keywords.scope, accept: [] });
    expect({ total, differences }).toEqual({ total: 0, differences: [] });
  } finally {
    await keywords.close();
  }
});
