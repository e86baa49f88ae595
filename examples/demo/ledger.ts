// The judge of the demo: every write that the shop was acknowledged, looked up in a database while the writers rest.
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import pc from 'picocolors';
import { formatDurationMs } from '../../plan/duration';
import { compareLedger, type LedgerComparison } from '../application/compare-ledger';
import type { RunningApplication } from '../application/server';
import type { Say } from './narrator';

/** Of the application's admin endpoints. */
export const adminToken = 'demo-only-token';

const betweenLooksMs = 200;

/**
 * With the writers at rest, so that the ledger and the database stand still.
 * @param followsWithinMs for a side that only follows: how long the newest writes may take to arrive
 */
export async function compareOn(
  url: string,
  application: RunningApplication,
  followsWithinMs = 0,
): Promise<LedgerComparison> {
  await administer(application, 'maintenance-mode', { enabled: true });
  // By its name the fence of a side that follows knows it for one of ours.
  const client = new pg.Client({ connectionString: url, application_name: 'cutover demo' });
  await client.connect();
  try {
    const until = performance.now() + followsWithinMs;
    for (;;) {
      const compared = await compareLedger(application.ledgerPath, client);
      if (compared.missing.length === 0 || performance.now() >= until) return compared;
      await sleep(betweenLooksMs);
    }
  } finally {
    await client.end();
    await administer(application, 'normal-mode', {});
  }
}

/** A call of one of the application's admin endpoints. @throws for any answer but 2xx */
export async function administer({ url }: RunningApplication, endpoint: string, body: object): Promise<void> {
  const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
  const { ok, status } = await fetch(`${url}/admin/${endpoint}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  if (!ok) throw new Error(`the application answered ${status} to ${endpoint}`);
}

/** Nothing missing, nothing twice, and something was written at all. */
export function isComplete({ acknowledged, missing, doubled }: LedgerComparison): boolean {
  return acknowledged > 0 && missing.length + doubled.length === 0;
}

export function sayLedger(say: Say, where: string, compared: LedgerComparison): void {
  const { acknowledged, bySide, missing, doubled, unknown } = compared;
  const verdict = isComplete(compared)
    ? pc.green('complete')
    : pc.red(`${missing.length} missing, ${doubled.length} doubled`);
  const sides = bySide.target > 0 ? `, ${bySide.source} made on the source and ${bySide.target} on the target,` : '';
  say(
    `  Ledger: ${acknowledged} acknowledged writes${sides} looked up on ${where}: ${verdict} (${unknown} with an unknown outcome)`,
  );
  for (const line of [...missing, ...doubled].slice(0, 5)) say(pc.red(`    ${line}`));
}

/** One line for each change of side, as the ledger has it. */
export function saySwitches(say: Say, { switches }: LedgerComparison): void {
  for (const { from, to, freezeMs } of switches)
    say(`  From ${from} to ${to}: the application saw ${formatDurationMs(freezeMs)} without writes`);
}
