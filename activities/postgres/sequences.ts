// The state of every sequence, carried as it is: last value and whether it was given out. Never a maximum of some column: that is
// wrong after deletes, for shared, descending and cycling sequences, and for numbers given out but not used.
import type { ClientBase } from 'pg';
import type { ValidationRecord } from '../../journal/types';
import type { ArtifactReference } from '../artifacts/store';
import { failure } from '../errors';
import { withHeartbeat } from '../heartbeat';
import type { PostgresDependencies } from '../dependencies';
import type { PostgresScope } from './scope';
import {
  nameOf,
  presentNames,
  readSequences,
  readStates,
  setSequences,
  withMargin,
  type SequenceState,
} from './sequence-states';
import { fencedSql } from './fence/former';
import { matchesSelection } from './tables';

const differencesShown = 20;

/** Where states come from and where they go. */
export interface SequenceWay {
  scope: PostgresScope;
  /** The side that `to` is a session of. */
  side: 'source' | 'target';
  from: ClientBase;
  to: ClientBase;
  /** Steps ahead, in each sequence's own direction. */
  margin: bigint;
  /** Sets nothing where no fence is up: for attempts that may wake up when the side is in use. */
  fenced?: boolean;
}

/**
 * Sets every sequence of one side to the state of the other's and reads all of them back, in four round trips however many there are
 * (two more where some were never called).
 * @returns the states as they were set
 * @throws PreconditionFailed when one is missing; VerificationMismatch when one did not take it
 */
export async function carryStates({ scope, side, from, to, margin, fenced }: SequenceWay): Promise<SequenceState[]> {
  const wanted = (await readSequences(from, scope)).map((state) => withMargin(state, margin));
  const there = await setSequences(to, wanted, fenced ? fencedSql : 'true');
  const missing = wanted.filter((state) => !there.has(nameOf(state)) && isRequired(state, scope));
  if (missing.length > 0) {
    throw failure(
      'PreconditionFailed',
      `The ${side} lacks sequences: ${shorten(missing.map(nameOf)).join(', ')}. Load the schema into the ${side} first, and retry.`,
    );
  }
  const carried = wanted.filter((state) => there.has(nameOf(state)));
  const differences = differencesOf(carried, await readStates(to, carried), { wanted: 'wanted', found: 'found' });
  if (differences.length > 0) {
    throw failure(
      'VerificationMismatch',
      `Sequences on the ${side} did not take the state they were given: ${differences.slice(0, differencesShown).join('; ')}. Make sure that nothing uses the ${side}, and retry.`,
    );
  }
  return carried;
}

/** Sequences that one side has and the other lacks, as people write them; to be known before an outage. */
export async function missingSequences(from: ClientBase, to: ClientBase, scope: PostgresScope): Promise<string[]> {
  const states = await readSequences(from, scope);
  const there = await presentNames(to, states);
  return states.filter((state) => !there.has(nameOf(state)) && isRequired(state, scope)).map(nameOf);
}

export function createSequenceActivities({ connections, artifacts }: PostgresDependencies) {
  return {
    /**
     * Sets every sequence of the target to the state of the source's, `margin` steps further on in its own direction ("0": exactly),
     * and reads all of them back. @throws PreconditionFailed when one is missing on the target; VerificationMismatch when one did not take it
     */
    async carrySequences({
      scope,
      margin,
    }: {
      scope: PostgresScope;
      margin: string;
    }): Promise<{ sequences: number; artifact: ArtifactReference }> {
      return withHeartbeat({ sequences: 0 }, async ({ signal }) => {
        const carried = await connections.withSession(
          scope.source,
          { side: 'source', purpose: 'read sequences', signal },
          (from) =>
            connections.withSession(scope.target, { side: 'target', purpose: 'set sequences', signal }, (to) =>
              carryStates({ scope, side: 'target', from, to, margin: BigInt(margin) }),
            ),
        );
        const lines = carried.map((state) => ({
          sequence: nameOf(state),
          lastValue: String(state.lastValue),
          isCalled: state.isCalled,
        }));
        const artifact = await artifacts.put(
          scope.migration,
          'sequences.json',
          `${JSON.stringify(lines, undefined, 1)}\n`,
        );
        return { sequences: carried.length, artifact };
      });
    },

    /** Whether every sequence is in the same state on both sides. A state that cannot be read is `unverifiable`. */
    async compareSequences({ scope }: { scope: PostgresScope }): Promise<ValidationRecord> {
      const started = Date.now();
      return withHeartbeat({}, async ({ signal }) => {
        const source = await connections.withSession(
          scope.source,
          { side: 'source', purpose: 'compare sequences', signal },
          (client) => readSequences(client, scope),
        );
        const { there, missing } = await connections.withSession(
          scope.target,
          { side: 'target', purpose: 'compare sequences', signal },
          async (client) => {
            const names = await presentNames(client, source);
            return {
              there: await readStates(
                client,
                source.filter((state) => names.has(nameOf(state))),
              ),
              missing: source.filter((state) => !names.has(nameOf(state)) && isRequired(state, scope)),
            };
          },
        );
        const names = new Set(there.map(nameOf));
        const differences = [
          ...missing.map((state) => `${nameOf(state)} is missing on the target`),
          ...differencesOf(
            source.filter((state) => names.has(nameOf(state))),
            there,
            { wanted: 'source', found: 'target' },
          ),
        ];
        return {
          name: 'sequences',
          source: `${there.length + missing.length} sequences`,
          target: `${there.length} sequences`,
          outcome: differences.length === 0 ? 'pass' : 'fail',
          durationMs: Date.now() - started,
          ...(differences.length > 0 ? { differences: shorten(differences) } : {}),
        };
      });
    },
  };
}

/** A free-standing sequence outside of the selection may rightly be missing: its schema was not carried. */
function isRequired(state: SequenceState, scope: PostgresScope): boolean {
  return matchesSelection(scope.tables, state.schema, state.name);
}

function differencesOf(
  wanted: SequenceState[],
  found: SequenceState[],
  named: { wanted: string; found: string },
): string[] {
  const byName = new Map(found.map((state) => [nameOf(state), state]));
  return wanted.flatMap((state) => {
    const other = byName.get(nameOf(state));
    if (other && other.lastValue === state.lastValue && other.isCalled === state.isCalled) return [];
    return [
      `${nameOf(state)}: ${named.wanted} ${describe(state)}, ${named.found} ${other ? describe(other) : 'missing'}`,
    ];
  });
}

function describe({ lastValue, isCalled }: SequenceState): string {
  return `${lastValue}${isCalled ? '' : ' (not called)'}`;
}

function shorten(lines: string[]): string[] {
  const more = lines.length - differencesShown;
  return more > 0 ? [...lines.slice(0, differencesShown), `and ${more} more`] : lines;
}
