// Everything that CDC needs and other strategies do not. A group of checks is a file beside this one; each check carries its fix, and
// what cannot be known is a warning that says what to look at.
import type { PreflightCheck } from './check';
import { followerFenceChecks } from './fence';
import { replicationLinkChecks } from './replication-links';
import { replicationObjectChecks } from './replication-objects';
import { replicationRoleChecks } from './replication-roles';
import { replicationServerChecks } from './replication-servers';
import { replicationWalChecks } from './replication-wal';

export const replicationChecks: PreflightCheck[] = [
  ...replicationServerChecks,
  ...replicationRoleChecks,
  ...followerFenceChecks,
  ...replicationLinkChecks,
  ...replicationWalChecks,
  ...replicationObjectChecks,
];
