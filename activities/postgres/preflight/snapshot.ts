// Can the final backup be taken as the plan says?
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { RdsSnapshot } from '../../../plan/postgres';
import { describeSubject, openRds } from '../snapshot/rds';
import { listed, pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

export const snapshotChecks: PreflightCheck[] = [
  { name: 'snapshot', title: 'The final backup can be taken', side: 'worker', needs: [], look: snapshotPossible },
];

async function snapshotPossible(context: CheckContext): Promise<Finding> {
  const { snapshot } = context.input;
  if (snapshot.kind === 'pg_dump') return pass('by pg_dump into the artifact store');
  if (snapshot.kind === 'none') {
    return {
      outcome: 'warn',
      found: `nobody here takes or verifies a backup: ${snapshot.reason}`,
      expected: 'a backup that is known to restore',
    };
  }
  if (snapshot.kind === 'rds') return rdsPossible(snapshot, context);
  const programs = [snapshot.command[0], snapshot.verify?.[0]].filter((program) => program !== undefined);
  const missing = await missingPrograms(programs);
  if (missing.length === 0)
    return pass(`by ${listed(programs)}${snapshot.verify ? '' : '; the plan names no command that verifies it'}`);
  return {
    outcome: 'fail',
    found: `not found on the worker, or not executable: ${listed(missing)}`,
    expected: 'the commands of plan.snapshot on every worker',
    fix: 'install them on every worker, or give their full path in plan.snapshot',
  };
}

/** Everything short of taking one: that has no trial run, so the permissions for it are named. */
async function rdsPossible(snapshot: RdsSnapshot, context: CheckContext): Promise<Finding> {
  const { signal, input, dependencies } = context;
  const service = await openRds(snapshot, dependencies.environment ?? process.env, signal);
  try {
    const subject = await describeSubject(service, signal);
    const { list, create } = service.calls.actions;
    await service.asked('Listing the snapshots', list, (calls) => calls.list(signal));
    const found = `the RDS ${service.words} in ${service.region} is ${subject.status}, ${subject.engine} ${subject.engineVersion}; taking a snapshot needs ${create} and rds:AddTagsToResource, which cannot be tried beforehand`;
    if (subject.status !== 'available')
      return {
        outcome: 'warn',
        found,
        expected: 'available: until then no snapshot can begin',
        fix: `aws rds wait ${snapshot.cluster === undefined ? 'db-instance-available --db-instance-identifier' : 'db-cluster-available --db-cluster-identifier'} ${subject.id} --region ${service.region}`,
      };
    const { host } = await dependencies.connections.address(input.scope.source);
    if (!subject.addresses.includes(host))
      return {
        outcome: 'warn',
        found: `${found}. The source is reached at ${host}, which is none of its addresses (${listed(subject.addresses) || 'none'})`,
        expected: 'that the snapshot is of the source: only a person can know it here',
      };
    return pass(found);
  } finally {
    service.close();
  }
}

/** Those that this worker cannot run. */
export async function missingPrograms(programs: string[]): Promise<string[]> {
  const missing: string[] = [];
  for (const program of programs) if (!(await executable(program))) missing.push(program);
  return missing;
}

async function executable(program: string): Promise<boolean> {
  const candidates = program.includes('/')
    ? [program]
    : (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, program));
  for (const candidate of candidates) {
    try {
      await access(candidate, constants.X_OK);
      if ((await stat(candidate)).isFile()) return true;
    } catch {
      // Not here.
    }
  }
  return false;
}
