// Who will read the target decides how it is written: the plan's word first, then the manifest's, then the source's.
import { decideEncoding, minorOf } from '../../activities/calico/preflight/encoding-choice';

const auto = { policyNaming: 'auto' } as const;

describe('the encoding', () => {
  it.each([
    ['v3.28.5', 'prefixed', false],
    ['v3.30.3', 'prefixed', false],
    ['v3.31.0', 'prefixed', true],
    ['v3.32.0', 'bare', true],
    ['3.33.1-rc.1', 'bare', true],
  ])('of Calico %s has %s names, labels: %p', (version, policyNaming, affinityLabels) => {
    expect(decideEncoding(auto, undefined, version).encoding).toEqual({ policyNaming, affinityLabels });
  });

  it('goes by plan, manifest and source, in this order', () => {
    const plan = { ...auto, calicoVersion: 'v3.32.0' };
    expect(decideEncoding(plan, 'v3.31.0', 'v3.30.0')).toMatchObject({ targetVersion: 'v3.32.0', by: 'the plan' });
    expect(decideEncoding(auto, 'v3.31.0', 'v3.30.0').targetVersion).toBe('v3.31.0');
    expect(decideEncoding(auto, undefined, 'v3.30.0').targetVersion).toBe('v3.30.0');
    expect(decideEncoding(auto, undefined, 'master')).not.toHaveProperty('targetVersion');
  });

  it('of the plan is obeyed, whatever the version is', () => {
    expect(decideEncoding({ policyNaming: 'bare' }, undefined, 'v3.30.0').encoding).toEqual({
      policyNaming: 'bare',
      affinityLabels: false,
    });
    expect(decideEncoding({ policyNaming: 'prefixed' }, 'v3.32.0', undefined).encoding.policyNaming).toBe('prefixed');
  });

  it('reads versions of Calico 3 alone', () => {
    expect(['v3.30.3', '3.9', 'v2.6.0', '', undefined].map(minorOf)).toEqual([30, 9, undefined, undefined, undefined]);
  });
});
