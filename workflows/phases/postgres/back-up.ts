// A backup after the switch, of the side in use or of the one that retires: taken and verified as the one before the migration was.
import type { Snapshot } from '../../../plan/postgres';
import type { ConnectionReference } from '../../../plan/reference';
import { run } from '../../activity-options';
import type { PostgresMigration } from './migration';
import { megabytes } from './preflight';

export interface BackUp {
  /** Of the step; that of its verification begins with `verify-`. */
  id: string;
  /** "the first backup of the target" */
  what: string;
  side: 'source' | 'target';
  snapshot: Snapshot;
  /** Of the artifact. */
  name: string;
  /** Where it is restored to prove that it can be. */
  scratch?: ConnectionReference;
}

/** Both steps may be skipped: the migration itself is over. Returns what was proved of it; undefined when either was left out. */
export async function backUp(
  { runbook, scope }: PostgresMigration,
  { id, what, side, snapshot, name, scratch }: BackUp,
): Promise<string[] | undefined> {
  const result = await runbook.step(
    id,
    `Take ${what} (${snapshot.kind})`,
    async () => {
      const taken = await run('long', `Take ${what} by ${snapshot.kind}`).takeSnapshot({ scope, snapshot, name, side });
      if (taken.artifact) runbook.journal.artifacts.push(taken.artifact);
      return taken;
    },
    {
      skippable: true,
      describe: ({ kind, artifact, output }) =>
        artifact
          ? `${artifact.name}, ${megabytes(artifact.bytes)}, sha256 ${artifact.sha256.slice(0, 12)}…`
          : (output ?? kind).slice(0, 200),
    },
  );
  if (!result) return undefined;
  const verified = await runbook.step(
    `verify-${id}`,
    `${scratch ? 'Prove that it restores, on the scratch server:' : 'Verify'} ${what}`,
    () => run('long', `Verify ${what}`).verifySnapshot({ scope, snapshot, result, scratch, side }),
    { skippable: true, describe: ({ method, evidence }) => `${method}: ${evidence.join('; ')}`.slice(0, 400) },
  );
  if (!verified || verified.method === 'none') return undefined;
  const file = result.artifact ? [`${what} is ${result.artifact.name}, at ${result.artifact.url}`] : [];
  return [...file, `it was verified by ${verified.method}`, ...verified.evidence];
}
