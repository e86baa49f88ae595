// Can the final backup be taken as the plan says?
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { listed, pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';

export const snapshotChecks: PreflightCheck[] = [
  { name: 'snapshot', title: 'The final backup can be taken', side: 'worker', needs: [], look: snapshotPossible },
];

async function snapshotPossible({ input: { snapshot } }: CheckContext): Promise<Finding> {
  if (snapshot.kind === 'pg_dump') return pass('by pg_dump into the artifact store');
  if (snapshot.kind === 'none') {
    return {
      outcome: 'warn',
      found: `nobody here takes or verifies a backup: ${snapshot.reason}`,
      expected: 'a backup that is known to restore',
    };
  }
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
