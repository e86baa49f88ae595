// Major versions write the same definition differently (18 leaves out table names that 15 writes), so texts that differ may
// mean the same. The judge is the target: the source's text is made into an object there, inside a transaction that is rolled
// back, and read back as the target writes it. What cannot be made, or reads back differently, is a difference.
//
// Whole definitions (views, functions, rules, triggers, statistics) are made as they are; indexes and constraints on an empty
// clone of their table; expressions (defaults, generated columns, policies) as the column of a view over it.
import type { Client } from 'pg';
import type { Catalog, CatalogObject } from './catalog';
import type { Difference } from './changes';

/** Of the differences, those that mean the same on both sides. Leaves no trace on the target. */
export async function findSameMeaning(
  target: Client,
  differences: Difference[],
  catalog: Catalog,
): Promise<Set<Difference>> {
  const same = new Set<Difference>();
  const decidable = differences.filter((difference) => recipeOf(difference, catalog) !== undefined);
  if (decidable.length === 0) return same;
  await target.query('begin');
  try {
    await target.query(`set local lock_timeout = '10s'`);
    await target.query('set local check_function_bodies = off');
    await silenceEventTriggers(target);
    for (const difference of decidable) {
      if (await meansTheSame(target, difference, recipeOf(difference, catalog))) same.add(difference);
    }
  } finally {
    await target.query('rollback').catch(() => undefined);
  }
  return same;
}

/** A definition -> how the target writes it. Runs inside a savepoint that is always rolled back. */
type Recipe = (target: Client, text: string) => Promise<string | undefined>;

async function meansTheSame(target: Client, { left, right }: Difference, recipe: Recipe | undefined): Promise<boolean> {
  if (recipe === undefined || left === undefined || right === undefined) return false;
  const written = async (text: string): Promise<string | undefined> => {
    await target.query('savepoint deparse');
    try {
      return await recipe(target, text);
    } catch {
      return undefined;
    } finally {
      await target.query('rollback to savepoint deparse');
    }
  };
  const source = await written(left);
  return source !== undefined && source === (await written(right));
}

/** Triggers on DDL of the application must not see our scratch objects. The transaction, hence this, is rolled back. */
async function silenceEventTriggers(target: Client): Promise<void> {
  const { rows } = await target.query<{ sql: string }>(
    `select format('alter event trigger %I disable', evtname) as sql from pg_event_trigger where evtenabled <> 'D'`,
  );
  for (const { sql } of rows) {
    await target.query('savepoint silence');
    await target.query(sql).catch(() => target.query('rollback to savepoint silence'));
  }
}

function recipeOf({ identity, property }: Difference, catalog: Catalog): Recipe | undefined {
  const object = catalog.objects[identity];
  if (!object || property === undefined) return undefined;
  const name = identity.slice(object.family.length + 1);
  switch (`${object.family}.${property}`) {
    case 'relation.definition':
      return view;
    case 'function.definition':
      return object.properties['kind'] === 'aggregate' ? undefined : functionText(name);
    case 'rule.definition':
      return inPlace(/^CREATE RULE/, 'CREATE OR REPLACE RULE', name, object, ruleText);
    case 'trigger.definition':
      return inPlace(/^CREATE TRIGGER/, 'CREATE OR REPLACE TRIGGER', name, object, triggerText);
    case 'statistics.definition':
      return statistics(name);
    case 'index.definition':
      return index(object);
    case 'constraint.definition':
      return constraint(object);
    case 'domain constraint.definition':
      return domainConstraint(object);
    case 'column.default':
    case 'column.generated':
    case 'policy.using':
    case 'policy.with check':
    case 'published table.condition':
      return expression(object);
    default:
      return undefined;
  }
}

const view: Recipe = async (target, text) => {
  await target.query(`create temp view cutover_deparse as ${text}`);
  return one(target, `select pg_get_viewdef('pg_temp.cutover_deparse'::regclass) as text`);
};

/** The identity holds argument names and defaults are not part of it: resolved by what was just made. */
function functionText(name: string): Recipe {
  return async (target, text) => {
    await target.query(text);
    return one(
      target,
      `select pg_get_functiondef(p.oid) as text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
       where format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) = $1`,
      [name],
    );
  };
}

/** Replaces the object itself and reads it back. `column` of its catalog names its table, `named` itself. */
function inPlace(
  pattern: RegExp,
  replacement: string,
  name: string,
  { relation = '' }: CatalogObject,
  read: InPlace,
): Recipe {
  const own = name.slice(0, -` on ${relation}`.length);
  return async (target, text) => {
    await target.query(text.replace(pattern, replacement));
    return one(
      target,
      `select ${read.deparse}(o.oid) as text from ${read.catalog} o where o.${read.column} = $1::regclass and quote_ident(o.${read.named}) = $2`,
      [relation, own],
    );
  };
}

interface InPlace {
  deparse: string;
  catalog: string;
  column: string;
  named: string;
}
const ruleText: InPlace = { deparse: 'pg_get_ruledef', catalog: 'pg_rewrite', column: 'ev_class', named: 'rulename' };
const triggerText: InPlace = {
  deparse: 'pg_get_triggerdef',
  catalog: 'pg_trigger',
  column: 'tgrelid',
  named: 'tgname',
};

function statistics(name: string): Recipe {
  return async (target, text) => {
    await target.query(`drop statistics ${name}`);
    await target.query(text);
    return one(
      target,
      `select pg_get_statisticsobjdef(s.oid) as text from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace where format('%I.%I', n.nspname, s.stxname) = $1`,
      [name],
    );
  };
}

async function clone(target: Client, relation: string | undefined): Promise<void> {
  await target.query(`create temp table cutover_clone (like ${relation})`);
}

function index({ relation }: CatalogObject): Recipe {
  return async (target, text) => {
    await clone(target, relation);
    const on = [` ON ONLY ${relation} USING `, ` ON ${relation} USING `].find((part) => text.includes(part));
    if (on === undefined) return undefined;
    await target.query(text.replace(on, () => ' ON pg_temp.cutover_clone USING '));
    return one(
      target,
      `select '${on.includes(' ONLY ') ? 'only ' : ''}' || pg_get_indexdef(indexrelid) as text from pg_index where indrelid = 'pg_temp.cutover_clone'::regclass`,
    );
  };
}

function constraint({ relation }: CatalogObject): Recipe {
  return async (target, text) => {
    if (text.startsWith('FOREIGN KEY')) return undefined;
    await clone(target, relation);
    await target.query(`alter table pg_temp.cutover_clone add constraint cutover_constraint ${text}`);
    return one(
      target,
      `select pg_get_constraintdef(oid) as text from pg_constraint where conrelid = 'pg_temp.cutover_clone'::regclass and conname = 'cutover_constraint'`,
    );
  };
}

/** `relation` of a domain's constraint is the type below the domain. */
function domainConstraint({ relation }: CatalogObject): Recipe {
  return async (target, text) => {
    await target.query(`create domain pg_temp.cutover_domain as ${relation} constraint cutover_constraint ${text}`);
    return one(
      target,
      `select pg_get_constraintdef(oid) as text from pg_constraint where conname = 'cutover_constraint'`,
    );
  };
}

function expression({ relation }: CatalogObject): Recipe {
  return async (target, text) => {
    await target.query(`create temp view cutover_deparse as select ${text} as cutover_expression from ${relation}`);
    return one(target, `select pg_get_viewdef('pg_temp.cutover_deparse'::regclass) as text`);
  };
}

async function one(target: Client, sql: string, values: unknown[] = []): Promise<string | undefined> {
  const { rows } = await target.query<{ text: string | null }>(sql, values);
  return rows[0]?.text ?? undefined;
}
