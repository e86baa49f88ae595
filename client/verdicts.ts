// What the reaper does with each thing, and why. Nothing of a migration that runs goes, whoever asks; what Temporal does not know goes only
// when it is named; a fence goes only on a wish of its own, since behind it applications begin to write.
import { migrationKey } from '../activities/postgres/stream/names';
import type { OwnedThing } from '../activities/postgres/stream/orphans';
import type { Owner } from './owners';

/** What the operator asked for. */
export interface Wish {
  /** Workflow ids or keys; empty: all. */
  named: string[];
  lowerFences: boolean;
  /** Temporal could not be asked. */
  unasked: boolean;
}

/** `keep`: it is where it belongs. `leave`: it should go, but not by this call. */
export type Verdict = 'remove' | 'keep' | 'leave';
export interface Judged extends OwnedThing {
  verdict: Verdict;
  why: string;
}
export interface Case extends Omit<Owner, 'things'> {
  things: Judged[];
}

/** What is to become of everything that one migration has. */
export function judge(owner: Owner, wish: Wish): Case {
  return {
    ...owner,
    things: owner.things.map((thing) => ({ ...thing, ...verdictOn(thing, owner, wish) })),
  };
}

function verdictOn(
  thing: OwnedThing,
  owner: Owner,
  { named, lowerFences, unasked }: Wish,
): { verdict: Verdict; why: string } {
  const { key, migration, workflow } = owner;
  if (workflow === 'none') return { verdict: 'remove', why: 'nothing is in it' };
  const isNamed = named.some((name) => name === key || migrationKey(name) === key);
  if (workflow === 'running') return { verdict: 'keep', why: 'its migration runs' };
  if (named.length > 0 && !isNamed) return { verdict: 'leave', why: 'not named' };
  if (workflow === 'unknown' && !isNamed) {
    const name = migration ?? key ?? '';
    return {
      verdict: 'leave',
      why: unasked ? 'Temporal cannot be asked' : `unknown to this Temporal: name it with --migration ${name}`,
    };
  }
  if (thing.kind === 'fence' && !lowerFences) {
    return workflow === 'completed'
      ? { verdict: 'keep', why: 'left up on purpose by a migration that completed' }
      : { verdict: 'leave', why: '--lower-fences lowers it' };
  }
  if (thing.kind === 'ledger' && thing.where === 'source')
    return { verdict: 'leave', why: 'this source is the target of that migration: reap with its plan' };
  if (workflow === 'unknown') return { verdict: 'remove', why: 'named' };
  return { verdict: 'remove', why: `its migration is ${workflow === 'timed out' ? 'over' : workflow}` };
}

/** Nothing is there but what belongs to migrations that run, or stays on purpose. */
export function isClean(cases: Case[]): boolean {
  return cases.every(({ things }) => things.every(({ verdict }) => verdict === 'keep'));
}
