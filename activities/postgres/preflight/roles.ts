// Roles live outside of databases: are those that the source's objects name there on the target?
import { quoteIdentifier } from '../identifier';
import { readNeededRoles, type NeededRoles } from '../roles/needed';
import { allPowers, readPowers } from '../roles/powers';
import { createRole, grantMembership } from '../roles/statements';
import { counted, listed, pass, statements, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

export const roleChecks: PreflightCheck[] = [
  {
    name: 'roles',
    title: 'Roles of the source exist on the target or can be created',
    side: 'target',
    needs: ['source', 'target'],
    look: roles,
  },
  {
    name: 'role-passwords',
    title: 'Passwords of roles can be carried',
    side: 'source',
    needs: ['source', 'target'],
    look: passwords,
  },
  {
    name: 'role-attributes',
    title: 'Roles keep their powers',
    side: 'target',
    needs: ['source', 'target'],
    look: attributes,
  },
];

async function read(context: CheckContext): Promise<{ needed: NeededRoles; missing: NeededRoles['roles'] }> {
  const needed = await context.once('roles', () => readNeededRoles(context.session('source')));
  const there = await context.once('target roles', () =>
    context.rows<{ name: string }>('target', 'select rolname as name from pg_roles'),
  );
  const names = new Set(there.map(({ name }) => name));
  return { needed, missing: needed.roles.filter(({ name }) => !names.has(name)) };
}

async function roles(context: CheckContext): Promise<Finding> {
  const { needed, missing } = await read(context);
  if (missing.length === 0) return pass(`${counted(needed.roles.length, 'role')}, all there`);
  const { superuser, createRole: mayCreate, user, major } = await context.server('target');
  const names = listed(missing.map(({ name }) => name));
  if (context.input.roles === 'require') {
    const missingNames = new Set(missing.map(({ name }) => name));
    return {
      outcome: 'fail',
      found: `missing on the target: ${names}`,
      expected: 'all roles, since plan.roles is "require"',
      fix: statements([
        ...missing.map((role) => createRole(role, allPowers).sql),
        ...needed.memberships
          .filter(({ member }) => missingNames.has(member))
          .map((membership) => grantMembership(membership, major)),
      ]),
    };
  }
  if (superuser || mayCreate) return pass(`${counted(missing.length, 'role')} to be created: ${names}`);
  return {
    outcome: 'fail',
    found: `missing on the target: ${names}; ${user} may not create roles`,
    expected: 'CREATEROLE, or the roles',
    fix: `ALTER ROLE ${quoteIdentifier(user)} CREATEROLE;`,
  };
}

async function passwords(context: CheckContext): Promise<Finding> {
  const { missing } = await read(context);
  const logins = missing.filter(({ login }) => login);
  if (context.input.roles === 'require' || logins.length === 0) return pass('no role with a login is to be created');
  const readable = await context.value('source', `select has_table_privilege('pg_catalog.pg_authid', 'select')`);
  const { superuser } = await context.server('target');
  if (readable === 't' && superuser)
    return pass(`${counted(logins.length, 'role')} with a login: hashes are carried as they are`);
  return {
    outcome: 'warn',
    found: `${readable === 't' ? 'the target does not let us keep hashes out of its log' : 'hashes on the source are for superusers only'}; without a password: ${listed(logins.map(({ name }) => name))}`,
    expected: 'that somebody sets them before the switch',
    fix: logins
      .slice(0, 20)
      .map(({ name }) => `\\password ${quoteIdentifier(name)}`)
      .join(' '),
  };
}

async function attributes(context: CheckContext): Promise<Finding> {
  const { missing } = await read(context);
  const powers = await readPowers(context.session('target'));
  const left = missing.flatMap((role) =>
    createRole(role, powers).leftOut.map((attribute) => ({ name: role.name, attribute })),
  );
  if (context.input.roles === 'require' || left.length === 0) return pass('all attributes are carried');
  return {
    outcome: 'warn',
    found: `not carried: ${listed(left.map(({ name, attribute }) => `${attribute} of ${name}`))}`,
    expected: 'a decision: superuser is never given silently',
    fix: `${statements(left.map(({ name, attribute }) => `ALTER ROLE ${quoteIdentifier(name)} ${attribute}`))} -- after the roles were carried`,
  };
}
