// What becomes of the source when nobody needs it any more. Nothing is deleted unless the plan and a person both say so.
import { z } from 'zod';
import { durationSchema } from './duration';

const partsSchema = z
  .strictObject({
    /** A last `pg_dump` of the source, verified, before anything else is done. */
    archive: z.boolean().default(false),
    /** Drops the DATABASE of the source: only after the archive, and after gate `drop-source`, whose approval must name it. */
    drop: z.boolean().default(false),
    /** Run on the worker without a shell as the last of all, for instance `["aws", "rds", "stop-db-instance", …]`; exit code 0 is success. */
    command: z.array(z.string()).min(1).optional(),
    /** Of the command. */
    timeout: durationSchema.default('2h'),
  })
  .superRefine(({ archive, drop, command }, context) => {
    if (drop && !archive) {
      context.addIssue({
        code: 'custom',
        path: ['archive'],
        input: archive,
        message: 'expected true together with drop: a database is dropped only after its archive was verified',
      });
    }
    if (!archive && !drop && !command) {
      context.addIssue({
        code: 'custom',
        path: ['archive'],
        input: archive,
        message: 'expected at least one of archive, drop and command; or "keep-fenced"',
      });
    }
  });
export type RetireParts = z.infer<typeof partsSchema>;

export const retireSchema = z.union([z.enum(['keep-fenced', 'reopen']), partsSchema]);
export type Retire = z.infer<typeof retireSchema>;

/** What is to be done with the source beside keeping its fence; undefined where nothing is. */
export function partsOf(retire: Retire): RetireParts | undefined {
  return typeof retire === 'string' ? undefined : retire;
}
