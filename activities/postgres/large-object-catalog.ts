// What a server knows of its large objects, without ever giving their content out: sizes, digests, owners, privileges, comments.
import type { ClientBase } from 'pg';

export interface SizedObject {
  oid: string;
  bytes: string;
}

export interface Grant {
  /** null: PUBLIC. */
  grantee: string | null;
  privilege: 'SELECT' | 'UPDATE';
  grantable: boolean;
}

export interface ObjectDescription {
  bytes: string;
  /** sha256 over the sha256 of each MiB, hex; empty when content was not asked for. */
  digest: string;
  owner: string;
  /** undefined: the default. */
  grants?: Grant[];
  /** The same, default included, as one text for comparison. */
  privileges: string;
  comment: string | null;
}

const digestPieceBytes = 1_048_576;
/** INV_READ */
const readMode = 262_144;

export async function listObjects(client: ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ oid: string }>('select oid from pg_largeobject_metadata order by oid');
  return rows.map(({ oid }) => oid);
}

/** By opening each: works for everybody who may read it, holes and all. */
const sizesSql = `
select oid, bytes from (
  select oid, fd, lo_lseek64(fd, 0, 2) as bytes
  from (select oid, lo_open(oid, ${readMode}) as fd from pg_largeobject_metadata where oid = any($1::oid[]) order by oid offset 0) as opened
  offset 0) as sized
where lo_close(fd) = 0
order by oid`;

/** Of those that exist. */
export async function readSizes(client: ClientBase, oids: string[]): Promise<SizedObject[]> {
  const { rows } = await client.query<SizedObject>(sizesSql, [oids]);
  return rows;
}

interface DescriptionRow {
  oid: string;
  owner: string;
  is_default: string;
  grants: string;
  comment: string | null;
}

const descriptionsSql = `
select m.oid, pg_get_userbyid(m.lomowner) as owner, m.lomacl is null as is_default,
  (select coalesce(json_agg(json_build_object(
      'grantee', case when a.grantee <> 0 then pg_get_userbyid(a.grantee) end, 'privilege', a.privilege_type, 'grantable', a.is_grantable)
      order by pg_get_userbyid(a.grantee) collate "C", a.privilege_type), '[]')
   from aclexplode(coalesce(m.lomacl, acldefault('L', m.lomowner))) as a) as grants,
  obj_description(m.oid, 'pg_largeobject') as comment
from pg_largeobject_metadata m
where m.oid = any($1::oid[])`;

const digestsSql = `
select o.oid, encode(sha256(coalesce(string_agg(sha256(lo_get(o.oid, p.at, ${digestPieceBytes})), ''::bytea order by p.at), '')), 'hex') as digest
from unnest($1::oid[], $2::bigint[]) as o(oid, bytes)
left join lateral generate_series(0, o.bytes - 1, ${digestPieceBytes}) as p(at) on true
group by o.oid`;

/** Of those that exist, by oid. */
export async function describeObjects(
  client: ClientBase,
  oids: string[],
  { content } = { content: true },
): Promise<Map<string, ObjectDescription>> {
  const sizes = content ? await readSizes(client, oids) : [];
  const digests = content
    ? await client.query<{ oid: string; digest: string }>(digestsSql, [
        sizes.map(({ oid }) => oid),
        sizes.map(({ bytes }) => bytes),
      ])
    : { rows: [] };
  const bytesOf = new Map(sizes.map(({ oid, bytes }) => [oid, bytes]));
  const digestOf = new Map(digests.rows.map(({ oid, digest }) => [oid, digest]));
  const { rows } = await client.query<DescriptionRow>(descriptionsSql, [oids]);
  return new Map(
    rows.map(({ oid, owner, is_default, grants, comment }) => [
      oid,
      {
        bytes: bytesOf.get(oid) ?? '',
        digest: digestOf.get(oid) ?? '',
        owner,
        ...(is_default === 't' ? {} : { grants: JSON.parse(grants) as Grant[] }),
        privileges: grants,
        comment,
      },
    ]),
  );
}
