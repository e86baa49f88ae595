// The schema of a database in normal form: a flat map from each object to its properties as text, read from the catalogs.
// Properties are named as people name them; two databases are alike when their maps are. Privileges are spelled out with
// their defaults, one `grantee=PRIVILEGE/grantor` a line; NULL properties are absent; options that hold secrets are masked.
import type { Client } from 'pg';
import { z } from 'zod';
import type { TableSelection } from '../../../plan/postgres';
import { readExcluded } from '../schema/excluded';
import { databaseFamilies } from './families/database';
import { definitionFamilies } from './families/definitions';
import { relationFamilies } from './families/relations';
import type { Family } from './families/fragments';
import { readDatabase } from './database-properties';

const objectSchema = z.object({
  family: z.string(),
  /** The table that it belongs to, quoted as in SQL. */
  relation: z.string().optional(),
  properties: z.record(z.string(), z.string()),
});
export type CatalogObject = z.infer<typeof objectSchema>;

const catalogSchema = z.object({
  /** Of the server that was read. */
  major: z.number().int(),
  /** Words that this version quotes where they are names. */
  keywords: z.array(z.string()).default([]),
  /** `index public."Case_pkey"` -> its properties. */
  objects: z.record(z.string(), objectSchema),
});
export type Catalog = z.infer<typeof catalogSchema>;

const families: Family[] = [...relationFamilies, ...definitionFamilies, ...databaseFamilies];

/** Families that say nothing about a change of the schema: large objects come and go as rows do. */
export const volatileFamilies: ReadonlySet<string> = new Set(
  families.filter(({ volatile }) => volatile).map(({ family }) => family),
);

/** Reads all objects that the selection takes; a fixed number of queries. */
export async function readCatalog(client: Client, selection: TableSelection): Promise<Catalog> {
  const { rows } = await client.query<{ version: string }>(`select current_setting('server_version_num') as version`);
  const major = Math.floor(Number(rows[0]?.version) / 10_000);
  const excluded = (await readExcluded(client, selection)).map(({ oid }) => oid);
  const { family: databaseFamily, properties: database } = await readDatabase(client);
  const objects: Record<string, CatalogObject> = { database: { family: databaseFamily, properties: database } };
  for (const { family, sql } of families) {
    const text = sql(major);
    const found = await client.query<Record<string, string | null>>(text, text.includes('$1') ? [excluded] : []);
    for (const { name, relation, ...properties } of found.rows) {
      objects[`${family} ${name ?? ''}`] = {
        family,
        ...(relation ? { relation } : {}),
        properties: withoutNulls(properties),
      };
    }
  }
  const keywords = await client.query<{ word: string }>(
    `select word from pg_get_keywords() where catcode <> 'U' order by word collate "C"`,
  );
  return { major, keywords: keywords.rows.map(({ word }) => word), objects };
}

/** The inverse of JSON.stringify, checked. */
export function parseCatalog(json: string): Catalog {
  return catalogSchema.parse(JSON.parse(json));
}

function withoutNulls(properties: Record<string, string | null>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(properties).flatMap(([key, value]) => (value === null ? [] : [[key, value]])),
  );
}
