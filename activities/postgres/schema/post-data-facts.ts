// What the source knows of the indexes and constraints that the archive names by oid: their table, its size, what they lock.
import type { Client } from 'pg';
import { readExcluded } from './excluded';
import type { TableSelection } from '../../../plan/postgres';
import type { ArchiveEntry } from './archive';

export interface BuildFacts {
  tables: string[];
  exclusive: boolean;
  bytes: number;
}

const factsSql = `
with wanted as (
  select i.indexrelid as oid, 'INDEX' as kind, i.indrelid as one, null::oid as other, i.indisclustered or i.indisreplident as exclusive
  from pg_index i where i.indexrelid = any($1::oid[])
  union all
  select c.oid, case c.contype when 'f' then 'FK CONSTRAINT' else 'CONSTRAINT' end, c.conrelid, nullif(c.confrelid, 0), true
  from pg_constraint c where c.oid = any($2::oid[])
)
select w.oid, w.kind, w.exclusive, coalesce(pg_relation_size(w.one), 0) as bytes, w.other,
  case when w.kind = 'FK CONSTRAINT' then array_to_json(array_remove(array[coalesce(pg_partition_root(w.one), w.one)::oid, coalesce(pg_partition_root(w.other), w.other)::oid], null))
    else array_to_json(array[w.one]) end::text as tables
from wanted w`;

interface FactsRow {
  oid: string;
  kind: string;
  exclusive: string;
  bytes: string;
  other: string | null;
  tables: string;
}

export interface PostDataFacts {
  /** Entry id -> facts; entries that the source no longer has are absent. */
  builds: Map<string, BuildFacts>;
  /** Foreign keys to tables that are left out: nothing they could point to. */
  leftOut: Set<string>;
}

export async function readPostDataFacts(
  source: Client,
  entries: ArchiveEntry[],
  selection: TableSelection,
): Promise<PostDataFacts> {
  const oids = (...kinds: string[]): string[] =>
    entries.filter(({ kind }) => kinds.includes(kind)).map(({ oid }) => oid);
  const { rows } = await source.query<FactsRow>(factsSql, [oids('INDEX'), oids('CONSTRAINT', 'FK CONSTRAINT')]);
  const excluded = new Set((await readExcluded(source, selection)).map(({ oid }) => oid));
  const byObject = new Map(rows.map((row) => [`${row.kind} ${row.oid}`, row]));
  const builds = new Map<string, BuildFacts>();
  const leftOut = new Set<string>();
  for (const { id, kind, oid } of entries) {
    const row = byObject.get(`${kind} ${oid}`);
    if (!row) continue;
    if (row.other !== null && excluded.has(row.other)) leftOut.add(id);
    const tables = (JSON.parse(row.tables) as (string | number)[]).map(String);
    builds.set(id, { tables, exclusive: row.exclusive === 't', bytes: Number(row.bytes) });
  }
  return { builds, leftOut };
}
