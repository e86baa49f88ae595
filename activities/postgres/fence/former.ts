// How a database is entered before the fence goes up, so that lowering puts back exactly that: read once, kept in the
// workflow's history and, while the fence is up, in a mark on the database itself, from which a person can lower it by hand.
import type { Client } from 'pg';
import { z } from 'zod';
import { failure } from '../../errors';
import type { Side } from '../errors';
import { quoteIdentifier, quoteLiteral } from '../identifier';

/** What the fence will change on one database, as it is without the fence. Plain JSON, bounded by the number of grantees. */
const formerAccessSchema = z.strictObject({
  database: z.string(),
  /** `connection-limit` where our role is a superuser; `revoke-connect` where it only owns the database. */
  mechanism: z.enum(['connection-limit', 'revoke-connect']),
  /** -1: without limit. */
  connectionLimit: z.number().int(),
  /** Database-level settings that the belt replaces: `default_transaction_read_only=on`, or none. */
  settings: z.array(z.string()),
  /** Who may connect by the ACL of the database, ourselves and its owner left out; `PUBLIC` is everybody. For `revoke-connect`. */
  grants: z.array(z.strictObject({ grantee: z.string(), grantable: z.boolean() })),
  /** The comment of the database, which carries the mark under `revoke-connect`; null: none. */
  comment: z.string().nullable(),
});
export type FormerAccess = z.infer<typeof formerAccessSchema>;

const markSchema = z.strictObject({ migration: z.string(), raisedAt: z.string(), former: formerAccessSchema });
/** The mark on a fenced database: whose fence it is, since when (ISO 8601), and what was before. */
export type FenceMark = z.infer<typeof markSchema>;

/** Database setting that carries the mark where we are superuser; others may not make settings of a name of their own, and use the comment. */
export const fenceSetting = 'cutover.fence';
const commentPrefix = 'cutover fence ';

interface DatabaseRow {
  database: string;
  limit: string;
  settings: string | null;
  comment: string | null;
  superuser: string;
  owner: string;
  grants: string;
}

const databaseSql = `
select d.datname as database, d.datconnlimit as "limit",
       (select to_json(s.setconfig)::text from pg_db_role_setting s where s.setdatabase = d.oid and s.setrole = 0) as settings,
       shobj_description(d.oid, 'pg_database') as comment,
       (select rolsuper from pg_roles where rolname = current_user) as superuser,
       pg_has_role(current_user, d.datdba, 'USAGE') as owner,
       (select coalesce(json_agg(json_build_object('grantee', grantee, 'grantable', grantable) order by grantee), '[]')::text
          from (select case a.grantee when 0 then 'PUBLIC' else pg_get_userbyid(a.grantee) end as grantee, bool_or(a.is_grantable) as grantable
                  from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                 where a.privilege_type = 'CONNECT' and a.grantee <> d.datdba and a.grantee <> (select oid from pg_roles where rolname = current_user)
                 group by 1) g) as grants
  from pg_database d where d.datname = current_database()`;

/** SQL: whether a fence of ours is up on this database, whosever. */
export const fencedSql = `exists (
  select from pg_database d left join pg_db_role_setting s on s.setdatabase = d.oid and s.setrole = 0
   where d.datname = current_database()
     and (array_to_string(s.setconfig, ' ') like '%${fenceSetting}=%' or shobj_description(d.oid, 'pg_database') like '${commentPrefix}%'))`;

const textList = z.array(z.string());
const grantList = formerAccessSchema.shape.grants;

/** The database as it is now, and the mark on it if it is fenced. */
export async function readAccess(session: Client, side: Side): Promise<{ now: FormerAccess; mark?: FenceMark }> {
  const { rows } = await session.query<DatabaseRow>(databaseSql);
  const row = rows[0];
  if (!row)
    throw failure('PreconditionFailed', `The database of the ${side} is not in its own catalogue. Look at the server.`);
  const settings = typeof row.settings === 'string' ? textList.parse(JSON.parse(row.settings)) : [];
  if (row.superuser !== 't' && row.owner !== 't') {
    throw failure(
      'AuthDenied',
      `The role of the ${side} can neither fence ${row.database} nor end sessions there: it is no superuser and does not own the database. Connect as the owner or a superuser, or run ALTER DATABASE ${quoteIdentifier(row.database)} OWNER TO that role.`,
    );
  }
  const mark = parseMark(settings, row.comment);
  return {
    now: {
      database: row.database,
      mechanism: row.superuser === 't' ? 'connection-limit' : 'revoke-connect',
      connectionLimit: Number(row.limit),
      settings: settings.filter((setting) => setting.startsWith('default_transaction_read_only=')),
      grants: grantList.parse(JSON.parse(row.grants)),
      comment: row.comment,
    },
    ...(mark && { mark }),
  };
}

/** Whether what keeps others out is there, as opposed to a mark that says so. */
export function barrierStands(now: FormerAccess, { mechanism }: FormerAccess): boolean {
  return mechanism === 'connection-limit' ? now.connectionLimit === 0 : now.grants.length === 0;
}

/** The mark on the database, without regard to what our role may do there. */
export async function readMark(session: Client): Promise<FenceMark | undefined> {
  const { rows } = await session.query<Pick<DatabaseRow, 'settings' | 'comment'>>(databaseSql);
  const { settings, comment } = rows[0] ?? { settings: null, comment: null };
  return parseMark(typeof settings === 'string' ? textList.parse(JSON.parse(settings)) : [], comment);
}

function parseMark(settings: string[], comment: string | null): FenceMark | undefined {
  const texts = [
    ...settings
      .filter((setting) => setting.startsWith(`${fenceSetting}=`))
      .map((setting) => setting.slice(fenceSetting.length + 1)),
    ...(comment?.startsWith(commentPrefix) ? [comment.slice(commentPrefix.length)] : []),
  ];
  return texts.map(markOf).find((mark) => mark !== undefined);
}

function markOf(text: string): FenceMark | undefined {
  try {
    return markSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** The statements that raise the fence, for one transaction: mark, barrier, read-only default as a belt. */
export function raisingSql(mark: FenceMark): string[] {
  const { former } = mark;
  const database = quoteIdentifier(former.database);
  const text = JSON.stringify(mark);
  const barrier =
    former.mechanism === 'connection-limit'
      ? [
          `alter database ${database} set ${fenceSetting} = ${quoteLiteral(text)}`,
          `alter database ${database} connection limit 0`,
        ]
      : [
          `comment on database ${database} is ${quoteLiteral(commentPrefix + text)}`,
          ...former.grants.map(
            ({ grantee }) => `revoke connect on database ${database} from ${roleName(grantee)} cascade`,
          ),
        ];
  return [...barrier, `alter database ${database} set default_transaction_read_only = 'on'`];
}

/** The statements that put back what was before; also what a person runs when the migration is gone. */
export function loweringSql(former: FormerAccess): string[] {
  const database = quoteIdentifier(former.database);
  const belt = former.settings.map((setting) => setting.slice(setting.indexOf('=') + 1))[0];
  const barrier =
    former.mechanism === 'connection-limit'
      ? [
          `alter database ${database} connection limit ${former.connectionLimit}`,
          `alter database ${database} reset ${fenceSetting}`,
        ]
      : [
          ...former.grants.map(
            ({ grantee, grantable }) =>
              `grant connect on database ${database} to ${roleName(grantee)}${grantable ? ' with grant option' : ''}`,
          ),
          `comment on database ${database} is ${former.comment === null ? 'null' : quoteLiteral(former.comment)}`,
        ];
  const readOnly =
    belt === undefined
      ? `alter database ${database} reset default_transaction_read_only`
      : `alter database ${database} set default_transaction_read_only = ${quoteLiteral(belt)}`;
  return [readOnly, ...barrier];
}

function roleName(grantee: string): string {
  return grantee === 'PUBLIC' ? 'public' : quoteIdentifier(grantee);
}
