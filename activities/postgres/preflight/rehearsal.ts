// Is the migration tried before it counts, and on servers that are not production?
import { rehearsalServers, rehearsalSkipped } from '../../../plan/rehearsal';
import { judgeRehearsal, type Place } from '../rehearsal/guard';
import { pass, type Finding, type PreflightCheck } from './check';
import type { CheckContext } from './context';
import { readServer, type ServerFacts } from './server-facts';

export const rehearsalChecks: PreflightCheck[] = [
  {
    name: 'rehearsal-guard',
    title: 'The rehearsal cannot touch production',
    side: 'both',
    waivable: false,
    look: guard,
  },
  {
    name: 'rehearsal',
    title: 'The migration is rehearsed on scratch servers first',
    side: 'worker',
    needs: [],
    look: planned,
  },
];

async function guard(context: CheckContext): Promise<Finding> {
  if (!rehearsalServers(context.input.rehearsal)) return pass('no rehearsal is planned');
  const production: Place[] = [
    { name: 'source', facts: await context.server('source') },
    { name: 'target', facts: await context.server('target') },
  ];
  const scratch: Place[] = [
    { name: 'rehearsal source', facts: await scratchServer(context, 'source') },
    { name: 'rehearsal target', facts: await scratchServer(context, 'target') },
  ];
  const { refusals, evidence } = judgeRehearsal(production, scratch);
  if (refusals.length === 0) return pass(evidence.slice(2).join('; '));
  return {
    outcome: 'fail',
    found: refusals.join('; '),
    expected: 'scratch databases on servers of their own, never production nor a physical copy of it',
    fix: 'correct the references of plan.rehearsal',
  };
}

function planned({ input: { rehearsal } }: CheckContext): Finding {
  if (rehearsalServers(rehearsal)) return pass('the whole migration and its way back');
  const reason = rehearsalSkipped(rehearsal);
  if (reason !== undefined) return pass(`the plan says why there is none: ${reason}`);
  return {
    outcome: 'warn',
    found: 'the plan names no scratch servers: it was never tried, and its times are guesses',
    expected: 'a rehearsal, or the reason why there is none',
    fix: 'add plan.rehearsal with source and target, or {"skip": "the reason"}',
  };
}

async function scratchServer(context: CheckContext, which: 'source' | 'target'): Promise<ServerFacts> {
  const reference = rehearsalServers(context.input.rehearsal)?.[which];
  if (!reference) throw new Error('no rehearsal is planned');
  const session = await context.open(reference, 'scratch');
  try {
    return await readServer(session);
  } finally {
    await session.end().catch(() => undefined);
  }
}
