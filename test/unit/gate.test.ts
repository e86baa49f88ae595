import { gateNames, type GateRule } from '../../plan/gates';
import { decide, describeProgress, openGate, refusal } from '../../workflows/gate';

const now = new Date('2026-03-01T22:00:00.000Z');
const rule = (approvers: number): GateRule => ({ approvers, onTimeout: 'reject' });

describe('a gate', () => {
  it('needs as many different people as the plan says', () => {
    const gate = openGate('cutover', [], rule(2), now);
    decide(gate, { gate: 'cutover', decision: 'approve', by: 'anna' }, now);
    expect(gate.state).toBe('open');
    expect(describeProgress(gate)).toBe('1 of 2 approvals: anna');
    expect(refusal([gate], { gate: 'cutover', decision: 'reject', by: 'anna' }, gateNames)).toContain(
      'has decided already',
    );
    decide(gate, { gate: 'cutover', decision: 'approve', by: 'ben' }, now);
    expect(gate.state).toBe('approved');
  });

  it('is closed by one rejection, whatever was approved before', () => {
    const gate = openGate('cutover', [], rule(3), now);
    decide(gate, { gate: 'cutover', decision: 'approve', by: 'anna' }, now);
    decide(gate, { gate: 'cutover', decision: 'reject', by: 'ben', reason: 'no' }, now);
    expect(gate).toMatchObject({ state: 'rejected', closedAt: now.toISOString() });
  });

  it('knows when it closes by itself', () => {
    expect(openGate('start', [], { approvers: 1, timeout: '2h', onTimeout: 'reject' }, now).closesAt).toBe(
      '2026-03-02T00:00:00.000Z',
    );
    expect(openGate('start', [], rule(1), now).closesAt).toBeUndefined();
  });

  it('refuses what is early, late, unknown, and says which gate is open', () => {
    const passed = { ...openGate('start', [], rule(1), now), state: 'approved' as const };
    const open = openGate('cutover', [], rule(1), now);
    const ask = (gate: string): string | undefined =>
      refusal([passed, open], { gate, decision: 'approve', by: 'anna' }, gateNames);
    expect(ask('accept')).toBe(
      'gate "accept" is not open yet, so there is no evidence to decide on; the open gate is "cutover"',
    );
    expect(ask('start')).toBe('gate "start" is closed already (approved); the open gate is "cutover"');
    expect(ask('strat')).toBe('there is no gate "strat"; the open gate is "cutover"');
    expect(ask('cutover')).toBeUndefined();
  });
});
