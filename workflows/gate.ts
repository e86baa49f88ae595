// The rules of a gate, pure: who may decide, what counts, what is refused and why. Waiting is the runbook's business.
import type { GateRule } from '../plan/gates';
import { parseDurationMs } from '../plan/duration';
import type { GateRecord } from '../journal/types';
import type { DecideRequest } from './messages';

/** How often an open gate without a time limit reminds (and shows itself in the history). */
export const reminderMs = 24 * 3_600_000;

/**
 * The record of a gate at the moment it opens.
 * @param words that the reason of an approval must hold
 */
export function openGate(
  name: string,
  evidence: string[],
  rule: 'auto' | GateRule,
  now: Date,
  words?: string,
): GateRecord {
  const at = now.toISOString();
  if (rule === 'auto') {
    return { name, state: 'auto', openedAt: at, closedAt: at, approversNeeded: 0, evidence, decisions: [] };
  }
  const timeoutMs = rule.timeout === undefined ? undefined : parseDurationMs(rule.timeout);
  return {
    name,
    state: 'open',
    openedAt: at,
    approversNeeded: rule.approvers,
    closesAt: timeoutMs === undefined ? undefined : new Date(now.getTime() + timeoutMs).toISOString(),
    onTimeout: timeoutMs === undefined ? undefined : rule.onTimeout,
    evidence,
    decisions: [],
    ...(words === undefined ? {} : { words }),
  };
}

/** Why a decision changes nothing; undefined when it counts. */
export function refusal(
  gates: GateRecord[],
  request: DecideRequest,
  knownGates: readonly string[],
): string | undefined {
  const open = gates.find(({ state }) => state === 'open');
  const passed = gates.findLast(({ name }) => name === request.gate);
  if (!knownGates.includes(request.gate)) {
    return `there is no gate "${request.gate}"; ${open ? `the open gate is "${open.name}"` : `gates are ${knownGates.join(', ')}`}`;
  }
  if (open?.name !== request.gate) {
    if (passed) return `gate "${request.gate}" is closed already (${passed.state}); ${describeOpen(open)}`;
    return `gate "${request.gate}" is not open yet, so there is no evidence to decide on; ${describeOpen(open)}`;
  }
  const earlier = open.decisions.find(({ by }) => by === request.by);
  if (earlier)
    return `${request.by} has decided already (${earlier.decision} at ${earlier.at}); the first decision counts`;
  if (request.decision === 'approve' && open.words && !request.reason?.includes(open.words))
    return `approving "${open.name}" cannot be undone: give a reason that holds the words "${open.words}"`;
  return undefined;
}

function describeOpen(open: GateRecord | undefined): string {
  return open ? `the open gate is "${open.name}"` : 'no gate is open';
}

/** Takes a decision that is not refused: one rejection closes the gate, enough approvals by different people open the way. */
export function decide(gate: GateRecord, { decision, by, reason }: DecideRequest, now: Date): void {
  gate.decisions.push({ decision, by, reason, at: now.toISOString() });
  if (decision === 'reject') close(gate, 'rejected', now);
  else if (gate.decisions.length >= gate.approversNeeded) close(gate, 'approved', now);
}

/** Closes a gate for another reason than a decision. */
export function close(gate: GateRecord, state: Exclude<GateRecord['state'], 'open'>, now: Date): void {
  gate.state = state;
  gate.closedAt = now.toISOString();
}

/** "2 of 3 approvals: anna, ben" */
export function describeProgress(gate: GateRecord): string {
  const names = gate.decisions.map(({ by }) => by).join(', ');
  return `${gate.decisions.length} of ${gate.approversNeeded} approvals${names ? `: ${names}` : ''}`;
}
