// The schema of the awkward database, PostgreSQL 15 to 18: built exactly once, whatever dies, and taken away without a trace.
import { createAwkwardDatabase, createAwkwardRoles } from '../fixtures/awkward-database';
import { startPair, type PostgresPair } from '../fixtures/postgres-pair';
import { onDatabase, startSchemaRig, type SchemaRig } from '../fixtures/schema-rig';

let pair: PostgresPair;
let rig: SchemaRig | undefined;

beforeAll(async () => {
  pair = await startPair();
  await createAwkwardRoles(pair.target.url());
});
afterAll(() => pair.stop());
afterEach(() => rig?.close());

describe('the awkward database', () => {
  it('is carried from 15 to 18 with no difference that is not named', async () => {
    rig = await startSchemaRig(pair, 'awkward_whole', createAwkwardDatabase);
    const { scope, schema, fidelity } = rig;
    const { archive, catalog } = await rig.prepare();
    const { carried } = await schema.carryDatabaseProperties({ scope });
    expect(carried).toEqual(
      expect.arrayContaining(['comment', 'privileges', 'setting work_mem', 'setting statement_timeout of awkward_app']),
    );
    const built = await schema.buildPostData({ scope, archive, lanes: 2 });
    expect(built.indexes).toBeGreaterThan(30);
    expect(built.constraints).toBeGreaterThan(40);

    const compared = await fidelity.compareFidelity({ scope, accept: [] });
    expect(compared.differences).toEqual([]);
    expect(compared.total).toBe(0);
    expect(compared.compared).toBeGreaterThan(2_000);
    expect(compared.accepted.every((line) => /^extension \S+: version: /.test(line))).toBe(true);

    // A second run of each finds its work done.
    expect((await schema.restorePreData({ scope, archive })).objects).toBeGreaterThan(100);
    await expect(schema.carryDatabaseProperties({ scope })).resolves.toEqual({ carried: [] });
    await expect(schema.buildPostData({ scope, archive, lanes: 2 })).resolves.toMatchObject({ indexes: built.indexes });
    await expect(schema.compareSchemaWithDump({ scope, catalog })).resolves.toEqual({ changes: [] });
  });

  it('names what somebody changes on the source after the dump', async () => {
    rig = await startSchemaRig(pair, 'awkward_changed', createAwkwardDatabase);
    const { scope, schema, sourceUrl } = rig;
    const { catalog } = await schema.dumpSchema({ scope });
    await onDatabase(sourceUrl, (client) =>
      client.query(`alter table public.people add column new_one text; drop index public.people_gin; select lo_create(0);
        alter table public.people alter column email set default 'x'`),
    );
    const { changes } = await schema.compareSchemaWithDump({ scope, catalog });
    expect(changes).toEqual([
      "column public.people.email: default: at the dump (none), now 'x'::text",
      'column public.people.new_one: only now',
      'index public.people_gin: only at the dump',
    ]);
  });

  it('is built exactly once when the attempt ends in the middle of post-data and another goes on', async () => {
    rig = await startSchemaRig(pair, 'awkward_killed', createAwkwardDatabase);
    const { scope, schema, fidelity, targetUrl, environment } = rig;
    const { archive } = await rig.prepare();
    await schema.carryDatabaseProperties({ scope });
    const doneCount = (): Promise<number> =>
      onDatabase(targetUrl, async (client) => {
        const { rows } = await client.query<{ n: string }>('select count(*) as n from cutover.post_data');
        return Number(rows[0]?.n);
      });
    let cancelled = false;
    environment.on('heartbeat', (progress: { done: number }) => {
      if (!cancelled && progress.done > 0) environment.cancel('CANCELLED');
      cancelled ||= progress.done > 0;
    });
    // Slowed down by a lock on one table, so that the end comes while a build runs.
    const ended = await onDatabase(targetUrl, async (client) => {
      await client.query(
        'begin; lock table public.people in access share mode; lock table public.wide in access exclusive mode',
      );
      const attempt = environment
        .run((input: Parameters<typeof schema.buildPostData>[0]) => schema.buildPostData(input), {
          scope,
          archive,
          lanes: 3,
        })
        .then(
          () => 'came to its end',
          (error: unknown) => String(error),
        );
      const result = await attempt;
      await client.query('rollback');
      return result;
    });
    expect(ended).not.toBe('came to its end');
    const before = await doneCount();
    expect(before).toBeGreaterThan(0);

    const both = await Promise.all([
      schema.buildPostData({ scope, archive, lanes: 2 }),
      schema.buildPostData({ scope, archive, lanes: 2 }),
    ]);
    expect(both[0].indexes).toBe(both[1].indexes);
    expect(await doneCount()).toBeGreaterThan(before);
    const compared = await fidelity.compareFidelity({ scope, accept: [] });
    expect(compared.differences).toEqual([]);
  });

  it('leaves no trace on a target that had an extension and a schema before, and no late attempt builds again', async () => {
    rig = await startSchemaRig(pair, 'awkward_cleared', createAwkwardDatabase);
    const { scope, schema, targetUrl } = rig;
    await onDatabase(targetUrl, (client) =>
      client.query(`create schema "Was Here"; create table "Was Here".kept (id serial primary key, v text); insert into "Was Here".kept (v) values ('kept');
        create function "Was Here".f() returns integer language sql as 'select 1'; create extension pg_trgm schema "Was Here"; create extension hstore;
        comment on extension hstore is 'former words'; comment on schema public is 'former comment'; grant create on schema public to awkward_former;
        select lo_create(4242); alter default privileges for role awkward_former grant select on tables to awkward_app;
        do $$ begin execute format('alter database %I set work_mem = %L', current_database(), '9MB'); end $$`),
    );
    await onDatabase(rig.sourceUrl, (client) =>
      client.query(
        'drop event trigger refuses_ddl; drop table public.hashed; drop extension hstore cascade; create extension hstore',
      ),
    );
    const { inventory, archive } = await rig.prepare();
    await schema.carryDatabaseProperties({ scope });
    await schema.buildPostData({ scope, archive, lanes: 2 });

    // A second attempt must not take the half-filled target for the former one.
    await expect(schema.inspectTarget({ scope })).resolves.toMatchObject({ inventory });
    expect((await schema.inspectUnchangedTarget({ scope, inventory })).differences.length).toBe(100);

    const { dropped, left } = await schema.clearTarget({ scope, inventory });
    expect(left).toEqual([]);
    expect(dropped).toBeGreaterThan(150);
    await expect(schema.inspectUnchangedTarget({ scope, inventory })).resolves.toEqual({ differences: [] });
    await expect(schema.clearTarget({ scope, inventory })).resolves.toEqual({ dropped: 0, left: [] });
    await expect(schema.restorePreData({ scope, archive })).rejects.toThrow(/has been put back/);
    await expect(schema.buildPostData({ scope, archive, lanes: 2 })).rejects.toThrow(/has been put back/);
    await onDatabase(targetUrl, async (client) => {
      await expect(client.query('select v from "Was Here".kept')).resolves.toMatchObject({ rows: [{ v: 'kept' }] });
      // Roles can go only when nothing in the database is theirs any more.
      const { rows } = await client.query(
        `select count(*)::integer as n from pg_shdepend d join pg_database b on b.oid = d.dbid and b.datname = current_database()
         join pg_roles r on r.oid = d.refobjid where r.rolname in ('awkward owner', 'Awkward Reader')`,
      );
      expect(rows).toEqual([{ n: 0 }]);
    });
  });
});

describe('privileges on system objects', () => {
  it('are carried, also those that pg_dump leaves out, and put back to what the target had', async () => {
    rig = await startSchemaRig(pair, 'hardened', async (url) => {
      await createAwkwardRoles(url);
      await onDatabase(url, (client) =>
        client.query(`revoke execute on function pg_sleep(double precision), count("any") from public;
          grant select on pg_authid to "Awkward Reader" with grant option; grant select (rolname), update (rolname) on pg_authid to awkward_app;
          grant select on pg_subscription to public; revoke select on pg_stats from public;
          grant create on schema pg_catalog to awkward_app; revoke usage on type float8 from public; grant usage on type float8 to awkward_app;
          revoke usage on language sql from public; grant usage on language sql to awkward_app with grant option;
          set role "Awkward Reader"; grant select on pg_authid to awkward_app`),
      );
    });
    const { scope, schema, fidelity, targetUrl } = rig;
    await onDatabase(targetUrl, (client) =>
      client.query(`grant select on pg_authid to awkward_former with grant option; revoke execute on function pg_notify(text, text) from public;
        set role awkward_former; grant select on pg_authid to public`),
    );
    const { inventory } = await rig.prepare();
    const { carried } = await schema.carryDatabaseProperties({ scope });
    expect(carried.filter((line) => line.startsWith('privileges on '))).toEqual(['privileges on language sql']);
    await expect(schema.carryDatabaseProperties({ scope })).resolves.toEqual({ carried: [] });
    const { differences } = await fidelity.compareFidelity({ scope, accept: [] });
    expect(differences).toEqual([
      'privileges on a system object function pg_catalog.pg_notify(pg_catalog.text,pg_catalog.text): only target',
      'privileges on a system object table pg_catalog.pg_authid: privileges: only source (none), only target PUBLIC=SELECT/awkward_former, awkward_former=SELECT*/postgres',
    ]);

    await expect(schema.clearTarget({ scope, inventory })).resolves.toMatchObject({ left: [] });
    await expect(schema.inspectUnchangedTarget({ scope, inventory })).resolves.toEqual({ differences: [] });
  });
});

describe('a schema that cannot be restored', () => {
  it('changes nothing and names the object, its statement and what to do', async () => {
    rig = await startSchemaRig(pair, 'missing_role', async (url) => {
      await onDatabase(url, (client) =>
        client.query(`create role only_on_source; create table public.before (id integer); create table public.owned (id integer);
          alter table public.owned owner to only_on_source; create table public."user secrets" (id integer)`),
      );
    });
    const { scope, schema, targetUrl } = rig;
    await rig.openLedger();
    const { archive } = await schema.dumpSchema({ scope });
    await expect(schema.restorePreData({ scope, archive })).rejects.toThrow(
      /Restoring TABLE public owned only_on_source failed on the target: role "only_on_source" does not exist .*create the role/,
    );
    await onDatabase(targetUrl, async (client) => {
      const { rows } = await client.query(`select to_regclass('public.before') as before`);
      expect(rows).toEqual([{ before: null }]);
      await client.query('create role only_on_source');
    });
    await expect(schema.restorePreData({ scope, archive })).resolves.toEqual({ objects: 3 });
  });

  it('names a function that relies on search_path in an index', async () => {
    rig = await startSchemaRig(pair, 'relies_on_path', async (url) => {
      await onDatabase(url, (client) =>
        client.query(`create function public.inner_one(text) returns text language sql immutable as 'select $1';
          create function public.outer_one(text) returns text language plpgsql immutable as 'begin return inner_one($1); end';
          create table public.t (a text); insert into public.t values ('x'); create index t_outer on public.t (public.outer_one(a))`),
      );
    });
    const { scope, schema } = rig;
    const { archive } = await rig.prepare();
    await expect(schema.buildPostData({ scope, archive, lanes: 2 })).rejects.toThrow(
      /Restoring INDEX public t_outer postgres failed .*inner_one\(text\) does not exist.*ALTER FUNCTION … SET search_path/,
    );
  });
});

describe('what needs something of post-data itself', () => {
  it('is built after it: views and functions that need a primary key, refreshes under row security, keys of partitions', async () => {
    rig = await startSchemaRig(pair, 'needs_keys', async (url) => {
      await createAwkwardRoles(url);
      await onDatabase(url, (client) =>
        client.query(`create table public.d (id integer primary key, name text); create table public.p (id integer primary key, d integer references public.d);
          insert into public.d select i, 'd' || i from generate_series(1, 5) i; insert into public.p select i, 1 + i % 5 from generate_series(1, 20) i;
          create view public.grouped as select d.*, count(p.id) as people from public.d join public.p on p.d = d.id group by d.id;
          create view public.over_grouped as select * from public.grouped; comment on view public.grouped is 'needs the key of d';
          create materialized view public.stored as select d.*, count(p.id) as people from public.d join public.p on p.d = d.id group by d.id;
          create unique index stored_key on public.stored (id); create materialized view public.over_stored as select max(people) from public.stored;
          create function public.atomic() returns setof public.d language sql begin atomic select d.* from public.d join public.p on p.d = d.id group by d.id; end;
          create table public.guarded (id integer primary key, owner name); insert into public.guarded values (1, 'postgres'), (2, 'awkward owner');
          alter table public.guarded enable row level security, force row level security; create policy own on public.guarded using (owner = current_user);
          alter table public.guarded owner to "awkward owner"; create materialized view public.seen with (fillfactor = 50) as select id from public.guarded with no data;
          grant usage, create on schema public to "awkward owner"; alter materialized view public.seen owner to "awkward owner"; refresh materialized view public.seen`),
      );
    });
    const { scope, schema, fidelity, sourceUrl, targetUrl } = rig;
    const { archive } = await rig.prepare();
    await schema.buildPostData({ scope, archive, lanes: 3 });
    await expect(fidelity.compareFidelity({ scope, accept: [] })).resolves.toMatchObject({ differences: [] });
    const content = (url: string): Promise<unknown> =>
      onDatabase(url, async (client) => {
        const { rows } = await client.query(
          `select (select json_agg(s order by id) from public.stored s) as stored, (select json_agg(s) from public.seen s) as seen, (select max from public.over_stored) as over`,
        );
        return rows as unknown;
      });
    const found = await content(targetUrl);
    expect(found).toEqual(await content(sourceUrl));
    expect(found).toMatchObject([{ seen: [{ id: 2 }] }]);
  });
});

describe('a selection of tables', () => {
  it('leaves the others, their views and sequences behind, and the foreign keys that point to them', async () => {
    rig = await startSchemaRig(
      pair,
      'selected',
      async (url) => {
        await onDatabase(url, (client) =>
          client.query(`create schema "Other"; create table "Other"."T" (id serial primary key); create table public.kept (id integer primary key, other integer references "Other"."T");
            create view public.over_other as select * from "Other"."T"; create view public.over_view as select * from public.over_other; create view public.over_kept as select * from public.kept;
            insert into "Other"."T" default values; insert into public.kept values (1, 1)`),
        );
      },
      { include: ['public.*'], exclude: [] },
    );
    const { scope, schema, fidelity, targetUrl } = rig;
    await rig.openLedger();
    const { archive } = await schema.dumpSchema({ scope });
    await schema.restorePreData({ scope, archive });
    await schema.buildPostData({ scope, archive, lanes: 2 });
    await expect(fidelity.compareFidelity({ scope, accept: [] })).resolves.toMatchObject({ differences: [], total: 0 });
    const { rows } = await onDatabase(targetUrl, (client) =>
      client.query(
        `select to_regclass('"Other"."T"') as t, to_regclass('public.over_view') as v, to_regclass('public.over_kept')::text as k`,
      ),
    );
    expect(rows).toEqual([{ t: null, v: null, k: 'over_kept' }]);
  });

  it('is refused before anything is changed when a selected table needs one that is left out', async () => {
    rig = await startSchemaRig(
      pair,
      'broken_selection',
      async (url) => {
        await onDatabase(url, (client) =>
          client.query(
            `create table public.parent (id integer); create table public.child (extra integer) inherits (public.parent)`,
          ),
        );
      },
      { include: ['*.*'], exclude: ['public.parent'] },
    );
    const { scope, schema } = rig;
    await expect(schema.dumpSchema({ scope })).rejects.toThrow(/table public.child needs table public.parent.*Include/);
  });
});
