// What a database holds, so that it can be put back: every object by its identity in the catalogs, and the catalog in normal
// form for their properties. Members of extensions count with their extension; our ledger does not count.
import type { Client } from 'pg';
import { z } from 'zod';
import { parseCatalog, readCatalog, type Catalog } from '../fidelity/catalog';
import { ownObject, userSchema } from '../fidelity/families/fragments';
import { readSettings, type DatabaseSettings } from './settings';

export interface InventoryObject {
  /** Catalog and oid: `pg_class 16402`. */
  key: string;
  /** As `pg_identify_object` names it: `table`, `foreign-data wrapper`. */
  type: string;
  /** Ready for DROP in most cases: `public."Case"`. */
  identity: string;
}

export interface Inventory {
  objects: InventoryObject[];
  /** Large objects, by oid. */
  largeObjects: string[];
  catalog: Catalog;
  settings: DatabaseSettings[];
}

const everyTable = { include: ['*.*'], exclude: [] };

/** Catalogs whose objects live in a schema: name of the catalog, column of the schema, further condition. */
const inSchemas: [catalog: string, namespace: string, condition?: string][] = [
  ['pg_class', 'relnamespace', `o.relkind in ('r', 'p', 'v', 'm', 'S', 'f')`],
  ['pg_proc', 'pronamespace'],
  [
    'pg_type',
    'typnamespace',
    `o.typtype <> 'm' and not exists (select from pg_type e where e.typarray = o.oid)
      and (o.typrelid = 0 or exists (select from pg_class c where c.oid = o.typrelid and c.relkind = 'c'))`,
  ],
  ['pg_operator', 'oprnamespace'],
  ['pg_opclass', 'opcnamespace'],
  ['pg_opfamily', 'opfnamespace'],
  ['pg_collation', 'collnamespace'],
  ['pg_conversion', 'connamespace'],
  ['pg_ts_config', 'cfgnamespace'],
  ['pg_ts_dict', 'dictnamespace'],
  ['pg_ts_parser', 'prsnamespace'],
  ['pg_ts_template', 'tmplnamespace'],
  ['pg_statistic_ext', 'stxnamespace'],
];
const withoutSchema = [
  'pg_extension',
  'pg_cast',
  'pg_language',
  'pg_am',
  'pg_transform',
  'pg_foreign_data_wrapper',
  'pg_foreign_server',
  'pg_event_trigger',
  'pg_publication',
  'pg_default_acl',
];
/** Below are the objects of initdb; extensions such as plpgsql among them are never ours to drop. */
const firstOwnOid = 16_384;

const objectsSql = `
select o.class::regclass::text || ' ' || o.oid as key, i.type, i.identity from (
  select 'pg_namespace'::regclass::oid as class, n.oid from pg_namespace n where ${userSchema('n')}
  union all select 'pg_user_mapping'::regclass::oid, m.umid from pg_user_mappings m
  ${inSchemas
    .map(
      ([catalog, namespace, condition = 'true']) =>
        `union all select '${catalog}'::regclass::oid, o.oid from ${catalog} o join pg_namespace n on n.oid = o.${namespace}
    where ${userSchema('n')} and ${condition} and ${ownObject(catalog, 'o.oid')}`,
    )
    .join('\n  ')}
  ${withoutSchema
    .map(
      (catalog) =>
        `union all select '${catalog}'::regclass::oid, o.oid from ${catalog} o where o.oid >= ${firstOwnOid} and ${ownObject(catalog, 'o.oid')}`,
    )
    .join('\n  ')}
) o cross join lateral pg_identify_object(o.class, o.oid, 0) i
where i.identity is not null
order by o.class, o.oid`;

export async function listObjects(client: Client): Promise<InventoryObject[]> {
  return (await client.query<InventoryObject>(objectsSql)).rows;
}

export async function listLargeObjects(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ oid: string }>('select oid from pg_largeobject_metadata order by oid');
  return rows.map(({ oid }) => oid);
}

export async function readInventory(client: Client): Promise<Inventory> {
  return {
    objects: await listObjects(client),
    largeObjects: await listLargeObjects(client),
    catalog: await readCatalog(client, everyTable),
    settings: await readSettings(client),
  };
}

const inventorySchema = z.object({
  objects: z.array(z.object({ key: z.string(), type: z.string(), identity: z.string() })),
  largeObjects: z.array(z.string()),
  catalog: z.unknown(),
  settings: z.array(z.object({ role: z.string().optional(), settings: z.array(z.string()) })),
});

/** The inverse of JSON.stringify, checked. */
export function parseInventory(json: string): Inventory {
  const { catalog, ...rest } = inventorySchema.parse(JSON.parse(json));
  return { ...rest, catalog: parseCatalog(JSON.stringify(catalog)) };
}
