// Sequences of dual writing: repeated writes bring their numbers with them, so the sequences of the other side stand still until it is
// switched to.
import { otherSide, type WritingSide } from '../../../journal/sides';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresScope } from '../scope';
import { readSequences, setSequences, withMargin } from '../sequence-states';
import { carryStates } from '../sequences';

/** Of those that cycle nobody can say which number is further. */
const furtherSql = `(
  select not q.seqcycle and coalesce(case when q.seqincrement > 0 then s.value > pg_sequence_last_value(c.oid)
    else s.value < pg_sequence_last_value(c.oid) end, true)
  from pg_sequence as q where q.seqrelid = c.oid)`;

export function createLiveSequenceActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Sets every sequence of one side to where the other's stands now, `margin` steps ahead: numbers are drawn on that other side until the switch.
     * Nobody may draw from them yet, unless `onlyForward` is given: then those that are further already stay, and nothing is read back. @throws PreconditionFailed when one is missing; VerificationMismatch when one did not take its state;
     * SourceUnavailable, TargetUnavailable (retryable)
     */
    async carryLiveSequences({
      scope,
      to,
      margin,
      onlyForward = false,
    }: {
      scope: PostgresScope;
      to: WritingSide;
      margin: number;
      onlyForward?: boolean;
    }): Promise<{ sequences: number }> {
      const from = otherSide(to);
      return withHeartbeat({ sequences: 0 }, async ({ signal }) => {
        const carried = await connections.withSession(
          scope[from],
          { side: from, purpose: 'read sequences', signal },
          (reading) =>
            connections.withSession(scope[to], { side: to, purpose: 'set sequences', signal }, async (writing) => {
              const ahead = BigInt(margin);
              if (!onlyForward)
                return (await carryStates({ scope, side: to, from: reading, to: writing, margin: ahead })).length;
              const wanted = (await readSequences(reading, scope)).map((state) => withMargin(state, ahead));
              return (await setSequences(writing, wanted, furtherSql)).size;
            }),
        );
        return { sequences: carried };
      });
    },
  };
}
