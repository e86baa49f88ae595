// Makes the privileges on an object what they shall be, from the normal form of the catalog: `grantee=PRIVILEGE/grantor` a line.
import type { Client } from 'pg';

interface Grant {
  /** Quoted as in SQL; `PUBLIC`. */
  grantee: string;
  privilege: string;
  grantable: boolean;
  grantor: string;
}

/**
 * Takes all privileges and grants those wanted; inside the caller's transaction, so nobody sees the moment in between.
 * @param object `schema "Case"`, `database awkward`
 * @param column of the table that `object` names, quoted as in SQL
 */
export async function setPrivileges(
  client: Client,
  object: string,
  owner: string,
  present: string,
  wanted: string,
  column?: string,
): Promise<void> {
  const on = column === undefined ? `on ${object}` : `(${column}) on ${object}`;
  const grantees = new Set(parse(present).map(({ grantee }) => grantee));
  for (const grantee of grantees) await client.query(`revoke all ${on} from ${grantee} cascade`);
  const grants = parse(wanted);
  // Who was allowed to pass a privilege on must have it before passing it on.
  const ordered = [
    ...grants.filter(({ grantor }) => grantor === owner),
    ...grants.filter(({ grantor }) => grantor !== owner),
  ];
  for (const { grantee, privilege, grantable, grantor } of ordered) {
    if (grantor !== owner) await client.query(`set local role ${grantor}`);
    await client.query(`grant ${privilege} ${on} to ${grantee}${grantable ? ' with grant option' : ''}`);
    if (grantor !== owner) await client.query('reset role');
  }
}

/** The same privileges on an object of another owner, who then grants and has what the former did. */
export function renameOwner(privileges: string, from: string, to: string): string {
  return privileges
    .split('\n')
    .map((line) => {
      const grantor = line.endsWith(`/${from}`) ? `${line.slice(0, -from.length)}${to}` : line;
      return grantor.startsWith(`${from}=`) ? `${to}${grantor.slice(from.length)}` : grantor;
    })
    .join('\n');
}

function parse(privileges: string): Grant[] {
  return privileges.split('\n').flatMap((line) => {
    const match = /^(.+)=([A-Z ]+)(\*?)\/(.+)$/.exec(line);
    if (!match) return [];
    const [, grantee = '', privilege = '', star, grantor = ''] = match;
    return [{ grantee, privilege, grantable: star === '*', grantor }];
  });
}
