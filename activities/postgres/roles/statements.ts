// The DDL of roles: what they are, whom they belong to, what is set for them. Passwords are never part of these texts.
import { quoteIdentifier, quoteLiteral } from '../identifier';
import type { Membership, RoleSetting, SourceRole } from './needed';
import type { Powers } from './powers';

/** CREATE ROLE with all attributes but SUPERUSER, and what had to be left out. Superuser is a decision of people. */
export function createRole(role: SourceRole, powers: Powers): { sql: string; leftOut: string[] } {
  const may = (attribute: string, wanted: boolean, allowed: boolean): [string[], string[]] =>
    !wanted ? [[], []] : allowed ? [[attribute], []] : [[], [attribute]];
  const parts = [
    may('SUPERUSER', role.superuser, false),
    may('CREATEDB', role.createDatabase, powers.createDatabase),
    may('REPLICATION', role.replication, powers.replication),
    may('BYPASSRLS', role.bypassRowSecurity, powers.bypassRowSecurity),
  ];
  const options = [
    role.login ? 'LOGIN' : 'NOLOGIN',
    role.inherit ? 'INHERIT' : 'NOINHERIT',
    ...(role.createRole ? ['CREATEROLE'] : []),
    ...parts.flatMap(([given]) => given),
    ...(role.connectionLimit === -1 ? [] : [`CONNECTION LIMIT ${role.connectionLimit}`]),
    ...(role.validUntil === undefined ? [] : [`VALID UNTIL ${quoteLiteral(role.validUntil)}`]),
  ];
  return {
    sql: `CREATE ROLE ${quoteIdentifier(role.name)} ${options.join(' ')}`,
    leftOut: parts.flatMap(([, left]) => left),
  };
}

/** GRANT of a membership, with the options that the target's version knows. */
export function grantMembership({ group, member, admin, inherit, set }: Membership, targetMajor: number): string {
  const base = `GRANT ${quoteIdentifier(group)} TO ${quoteIdentifier(member)}`;
  if (targetMajor < 16) return admin ? `${base} WITH ADMIN OPTION` : base;
  const truth = (value: boolean): string => (value ? 'TRUE' : 'FALSE');
  return `${base} WITH ADMIN ${truth(admin)}, INHERIT ${truth(inherit)}, SET ${truth(set)}`;
}

export function setForRole({ role, inDatabase, name, value }: RoleSetting, database: string): string {
  return `ALTER ROLE ${quoteIdentifier(role)}${inDatabase ? ` IN DATABASE ${quoteIdentifier(database)}` : ''} SET ${settingName(name)} TO ${settingValue(name, value)}`;
}

export function resetForRole(
  { role, inDatabase, name }: Pick<RoleSetting, 'role' | 'inDatabase' | 'name'>,
  database: string,
): string {
  return `ALTER ROLE ${quoteIdentifier(role)}${inDatabase ? ` IN DATABASE ${quoteIdentifier(database)}` : ''} RESET ${settingName(name)}`;
}

function settingName(name: string): string {
  return name.split('.').map(quoteIdentifier).join('.');
}

/** Settings whose value is a list of quoted names; a single literal would become one strange name. */
const listSettings = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

/** The stored value as SET takes it: `"$user", public` -> `'$user', 'public'`. */
export function settingValue(name: string, value: string): string {
  if (!listSettings.has(name.toLowerCase())) return quoteLiteral(value);
  const items = [...value.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^",\s][^",]*))\s*(?:,|$)/g)].map(([, quoted, bare]) =>
    quoted === undefined ? (bare ?? '').trim() : quoted.replaceAll('""', '"'),
  );
  return items.length === 0 ? `''` : items.map(quoteLiteral).join(', ');
}
