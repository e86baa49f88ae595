// Sequences of dual writing: repeated writes bring their numbers with them, so the sequences of the other side stand still until it is
// switched to.
import { otherSide, type WritingSide } from '../../../journal/sides';
import type { PostgresDependencies } from '../../dependencies';
import { withHeartbeat } from '../../heartbeat';
import type { PostgresScope } from '../scope';
import { carryStates } from '../sequences';

export function createLiveSequenceActivities({ connections }: PostgresDependencies) {
  return {
    /**
     * Sets every sequence of one side to where the other's stands now, `margin` steps ahead: numbers are drawn on that other side until the switch.
     * Nobody may draw from them yet. @throws PreconditionFailed when one is missing; VerificationMismatch when one did not take its state;
     * SourceUnavailable, TargetUnavailable (retryable)
     */
    async carryLiveSequences({
      scope,
      to,
      margin,
    }: {
      scope: PostgresScope;
      to: WritingSide;
      margin: number;
    }): Promise<{ sequences: number }> {
      const from = otherSide(to);
      return withHeartbeat({ sequences: 0 }, async ({ signal }) => {
        const carried = await connections.withSession(
          scope[from],
          { side: from, purpose: 'read sequences', signal },
          (reading) =>
            connections.withSession(scope[to], { side: to, purpose: 'set sequences', signal }, (writing) =>
              carryStates({ scope, side: to, from: reading, to: writing, margin: BigInt(margin) }),
            ),
        );
        return { sequences: carried.length };
      });
    },
  };
}
