// The rehearsal: the same migration on scratch servers before the one that counts, or the reason why there is none.
import { z } from 'zod';
import { connectionReferenceSchema } from './reference';

const rehearsalServersSchema = z.strictObject({
  /** An empty database on a server of its own: the backup of the production source is restored into it, and removed again. */
  source: connectionReferenceSchema,
  /** An empty database, not on a production server either. */
  target: connectionReferenceSchema,
  /** `cdc`: how the two scratch servers reach each other, where that is not the address that the worker uses. */
  sourceFromTarget: connectionReferenceSchema.optional(),
  targetFromSource: connectionReferenceSchema.optional(),
});
/** Scratch servers, never production. */
export type RehearsalServers = z.infer<typeof rehearsalServersSchema>;

export const rehearsalSchema = z.union([
  rehearsalServersSchema,
  /** Why this plan is carried out without a rehearsal; printed in the report. */
  z.strictObject({ skip: z.string().min(10) }),
]);
export type Rehearsal = z.infer<typeof rehearsalSchema>;

/** The scratch servers of a plan; undefined where nothing is rehearsed. */
export function rehearsalServers(rehearsal: Rehearsal | undefined): RehearsalServers | undefined {
  return rehearsal && 'source' in rehearsal ? rehearsal : undefined;
}

/** Why a plan wants no rehearsal; undefined where it has one, or says nothing. */
export function rehearsalSkipped(rehearsal: Rehearsal | undefined): string | undefined {
  return rehearsal && 'skip' in rehearsal ? rehearsal.skip : undefined;
}
