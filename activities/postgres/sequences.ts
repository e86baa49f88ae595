// The state of every sequence, carried as it is: last value and whether it was given out. Never a maximum of some column: that is
// wrong after deletes, for shared, descending and cycling sequences, and for numbers given out but not used.
import type { ClientBase } from 'pg';
import type { ValidationRecord } from '../../journal/types';
import type { ArtifactReference } from '../artifacts/store';
import { failure } from '../errors';
import { withHeartbeat } from '../heartbeat';
import type { PostgresDependencies } from '../dependencies';
import { quoteQualified } from './identifier';
import type { PostgresScope } from './scope';
import { listExcluded, listTables, matchesSelection } from './tables';

const batchSize = 200;
const differencesShown = 20;

export interface SequenceState {
  schema: string;
  name: string;
  lastValue: bigint;
  isCalled: boolean;
  increment: bigint;
  min: bigint;
  max: bigint;
  cycle: boolean;
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
        const states = await connections.withSession(
          scope.source,
          { side: 'source', purpose: 'read sequences', signal },
          (source) => readSequences(source, scope),
        );
        const carried = await connections.withSession(
          scope.target,
          { side: 'target', purpose: 'set sequences', signal },
          async (target) => {
            const wanted = (await onlyKnown(target, scope, states)).map((state) => withMargin(state, BigInt(margin)));
            await setSequences(target, wanted);
            const differences = differencesOf(wanted, await readStates(target, wanted));
            if (differences.length > 0) {
              throw failure(
                'VerificationMismatch',
                `Sequences on the target did not take the state they were given: ${differences.slice(0, differencesShown).join('; ')}. Make sure that nothing uses the target, and retry.`,
              );
            }
            return wanted;
          },
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
            const known = await onlyThere(client, source);
            const names = new Set(known.map(nameOf));
            return {
              there: await readStates(client, known),
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

/** The state `margin` steps on: within the bounds, and within the cycle of a sequence that cycles. Pure. */
export function withMargin(state: SequenceState, margin: bigint): SequenceState {
  if (margin === 0n) return state;
  const { lastValue, increment, min, max, cycle } = state;
  const ahead = lastValue + margin * increment;
  if (ahead >= min && ahead <= max) return { ...state, lastValue: ahead, isCalled: true };
  if (!cycle) return { ...state, lastValue: increment > 0n ? max : min, isCalled: true };
  // After the bound the cycle begins anew at the other end, whatever the remainder of the last step.
  const step = increment > 0n ? increment : -increment;
  const perCycle = (max - min) / step + 1n;
  const toBound = increment > 0n ? (max - lastValue) / step : (lastValue - min) / step;
  const beyond = (margin - toBound - 1n) % perCycle;
  return { ...state, lastValue: increment > 0n ? min + beyond * step : max - beyond * step, isCalled: true };
}

interface SequenceRow {
  schema: string;
  name: string;
  increment: string;
  min: string;
  max: string;
  cycle: string;
  owner: string | null;
  owner_schema: string | null;
  owner_name: string | null;
}

type Definition = Omit<SequenceState, 'lastValue' | 'isCalled'>;

const sequencesSql = `
select n.nspname as schema, c.relname as name, s.seqincrement as increment, s.seqmin as min, s.seqmax as max, s.seqcycle as cycle,
  o.oid as owner, os.nspname as owner_schema, o.relname as owner_name
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_sequence s on s.seqrelid = c.oid
left join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass
  and d.refobjsubid > 0 and d.deptype in ('a', 'i')
left join pg_class o on o.oid = d.refobjid
left join pg_namespace os on os.oid = o.relnamespace
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'cutover')
  and not exists (
    select from pg_depend e join pg_extension x on x.oid = e.refobjid
    where e.classid = 'pg_class'::regclass and e.objid = c.oid and e.deptype = 'e' and c.oid <> all (coalesce(x.extconfig, '{}')))
order by n.nspname collate "C", c.relname collate "C"`;

/** Every sequence, owned or not, but for members of extensions and those that belong to tables left out. */
async function readSequences(source: ClientBase, scope: PostgresScope): Promise<SequenceState[]> {
  const selected = new Set((await listTables(source, scope.tables)).map(({ oid }) => oid));
  const excluded = new Set((await listExcluded(source, scope.tables)).map(({ oid }) => oid));
  const { rows } = await source.query<SequenceRow>(sequencesSql);
  const wanted = rows.filter(({ schema, name, owner, owner_schema, owner_name }) => {
    if (owner === null)
      return (
        !scope.tables.exclude.length ||
        matchesSelection({ include: ['*.*'], exclude: scope.tables.exclude }, schema, name)
      );
    if (selected.has(owner)) return true;
    if (excluded.has(owner)) return false;
    return matchesSelection(scope.tables, owner_schema ?? '', owner_name ?? '');
  });
  const definitions = wanted.map(({ schema, name, increment, min, max, cycle }) => ({
    schema,
    name,
    increment: BigInt(increment),
    min: BigInt(min),
    max: BigInt(max),
    cycle: cycle === 't',
  }));
  return readStates(source, definitions);
}

async function readStates(client: ClientBase, definitions: Definition[]): Promise<SequenceState[]> {
  const states: SequenceState[] = [];
  for (let at = 0; at < definitions.length; at += batchSize) {
    const batch = definitions.slice(at, at + batchSize);
    const parts = batch.map(
      ({ schema, name }, index) =>
        `select ${index} as index, last_value, is_called from ${quoteQualified(schema, name)}`,
    );
    const { rows } = await client.query<{ index: string; last_value: string; is_called: string }>(
      parts.join(' union all '),
    );
    for (const { index, last_value, is_called } of rows) {
      const definition = batch[Number(index)];
      if (definition) states.push({ ...definition, lastValue: BigInt(last_value), isCalled: is_called === 't' });
    }
  }
  return states;
}

async function onlyThere(target: ClientBase, states: SequenceState[]): Promise<SequenceState[]> {
  const { rows } = await target.query<{ index: string }>(
    `select s.index - 1 as index from unnest($1::text[], $2::text[]) with ordinality as s(schema, name, index)
     join pg_namespace n on n.nspname = s.schema join pg_class c on c.relnamespace = n.oid and c.relname = s.name and c.relkind = 'S'`,
    [states.map(({ schema }) => schema), states.map(({ name }) => name)],
  );
  const there = new Set(rows.map(({ index }) => Number(index)));
  return states.filter((_, index) => there.has(index));
}

/** A free-standing sequence outside of the selection may rightly be missing: its schema was not carried. */
function isRequired(state: SequenceState, scope: PostgresScope): boolean {
  return matchesSelection(scope.tables, state.schema, state.name);
}

async function onlyKnown(target: ClientBase, scope: PostgresScope, states: SequenceState[]): Promise<SequenceState[]> {
  const there = await onlyThere(target, states);
  const names = new Set(there.map(nameOf));
  const missing = states.filter((state) => !names.has(nameOf(state)) && isRequired(state, scope));
  if (missing.length > 0) {
    throw failure(
      'PreconditionFailed',
      `The target lacks sequences: ${shorten(missing.map(nameOf)).join(', ')}. Load the schema into the target first, and retry.`,
    );
  }
  return there;
}

async function setSequences(target: ClientBase, states: SequenceState[]): Promise<void> {
  for (let at = 0; at < states.length; at += batchSize) {
    const batch = states.slice(at, at + batchSize);
    await target.query(
      `select setval(format('%I.%I', s.schema, s.name)::regclass, s.value, s.called)
       from unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[]) as s(schema, name, value, called)`,
      [
        batch.map(({ schema }) => schema),
        batch.map(({ name }) => name),
        batch.map(({ lastValue }) => String(lastValue)),
        batch.map(({ isCalled }) => isCalled),
      ],
    );
  }
}

function differencesOf(wanted: SequenceState[], found: SequenceState[]): string[] {
  const byName = new Map(found.map((state) => [nameOf(state), state]));
  return wanted.flatMap((state) => {
    const other = byName.get(nameOf(state));
    if (other && other.lastValue === state.lastValue && other.isCalled === state.isCalled) return [];
    return [`${nameOf(state)}: source ${describe(state)}, target ${other ? describe(other) : 'missing'}`];
  });
}

function describe({ lastValue, isCalled }: SequenceState): string {
  return `${lastValue}${isCalled ? '' : ' (not called)'}`;
}

function nameOf({ schema, name }: { schema: string; name: string }): string {
  return `${schema}.${name}`;
}

function shorten(lines: string[]): string[] {
  const more = lines.length - differencesShown;
  return more > 0 ? [...lines.slice(0, differencesShown), `and ${more} more`] : lines;
}
