import type { CalicoAccounting } from '../../journal/types';
import { withMissingNodes } from '../../workflows/phases/calico/refusals';

const exported: CalicoAccounting = {
  revision: '7',
  kinds: [
    { kind: 'IPPool', source: 2, migrated: 2, derived: 0, refused: 0 },
    { kind: 'Node', source: 60, migrated: 59, derived: 0, refused: 1 },
  ],
  refused: [{ key: '/calico/resources/v3/projectcalico.org/nodes/x', reason: 'no orchRef' }],
  refusedNotListed: 0,
  remarks: [],
};

describe('nodes that Kubernetes does not know', () => {
  it('move from migrated to refused, by name, and the sums still add up', () => {
    const accounting = withMissingNodes(exported, { missing: ['gone'], missingTotal: 1 });
    expect(accounting.kinds[1]).toEqual({ kind: 'Node', source: 60, migrated: 58, derived: 0, refused: 2 });
    expect(accounting.refused.map(({ key }) => key)).toEqual([
      'Node gone',
      '/calico/resources/v3/projectcalico.org/nodes/x',
    ]);
  });

  it('are counted though only fifty are listed', () => {
    const missing = Array.from({ length: 50 }, (_, index) => `gone-${index}`);
    const accounting = withMissingNodes(exported, { missing, missingTotal: 58 });
    expect(accounting.refused).toHaveLength(50);
    expect(accounting.refusedNotListed).toBe(9);
    expect(accounting.kinds[1]).toMatchObject({ migrated: 1, refused: 59 });
  });

  it('change nothing where there are none', () => {
    expect(withMissingNodes(exported, { missing: [], missingTotal: 0 })).toBe(exported);
  });
});
