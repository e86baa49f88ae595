// What a Calico plan may say, what it must not, and what the person who wrote it is told.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { calicoPlanJsonSchema } from '../../plan/json-schema';
import { describeIssues, isCalicoPlan, parseCalicoPlan } from '../../plan/parse';

const smallest = {
  name: 'calico-to-kdd',
  source: { endpoints: ['https://10.0.0.1:2379'] },
  target: { kubeconfig: { env: 'KUBECONFIG' } },
};

function issuesOf(change: Record<string, unknown>): string {
  const parsed = parseCalicoPlan({ ...smallest, ...change });
  return parsed.ok ? 'no issue' : describeIssues(parsed.issues);
}

describe('a Calico plan', () => {
  it('needs a name, endpoints and a cluster, and is cautious in everything else', () => {
    const parsed = parseCalicoPlan(smallest);
    expect(parsed).toMatchObject({
      ok: true,
      plan: {
        source: { prefix: '/calico' },
        policyNaming: 'auto',
        drain: '10s',
        unmigratable: 'stop',
        existing: 'stop',
        maxWritesPerSecond: 0,
        gates: {},
        monitor: '24h',
        retainSource: '30d',
      },
    });
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['a cluster that is not named', { target: {} }, 'plan.target'],
    ['a kubeconfig in the plan itself', { target: { kubeconfig: 'apiVersion: v1' } }, 'expected a reference'],
    [
      'a password in an endpoint',
      { source: { endpoints: ['https://root:hunter2@10.0.0.1:2379'] } },
      'plan.source.endpoints[0]: found a password (not shown)',
    ],
    [
      'a client certificate without its key',
      { source: { ...smallest.source, tls: { cert: { file: '/c' } } } },
      'cert and key together',
    ],
    ['a prefix with a slash at its end', { source: { ...smallest.source, prefix: '/calico/' } }, 'plan.source.prefix'],
    ['one manifest of the two', { manifests: { kubernetes: 'calico.yaml' } }, 'plan.manifests.etcd'],
    ['a field of another kind of plan', { strategy: 'cdc' }, 'plan.strategy: found a field that plans do not have'],
    ['a version that no Calico has', { calicoVersion: '4.1' }, 'plan.calicoVersion'],
    ['a gate that there is not', { gates: { unlokc: 'auto' } }, 'plan.gates'],
  ])('refuses %s, by its path', (_what, change, expected) => {
    expect(issuesOf(change)).toContain(expected);
    expect(issuesOf(change)).not.toContain('hunter2');
  });

  it('may pass the gates of Calico by itself, or ask two people to unlock', () => {
    const manifests = { kubernetes: 'calico.yaml', etcd: 'calico-etcd.yaml' };
    expect(issuesOf({ manifests, gates: 'auto' })).toBe('no issue');
    expect(issuesOf({ gates: { unlock: { approvers: 2 }, cutover: 'auto' } })).toBe('no issue');
  });

  it.each(['auto', { 'apply-manifest': 'auto' }])(
    'may not pass %j by itself where nobody else configures Calico: the wrong side would be unlocked',
    (gates) => {
      expect(issuesOf({ gates })).toMatch(/plan\.gates: .*people at the gate "apply-manifest"/);
    },
  );

  it('is told from a PostgreSQL plan by its endpoints', () => {
    expect(isCalicoPlan(smallest)).toBe(true);
    expect(isCalicoPlan({ source: { env: 'SOURCE' } })).toBe(false);
    expect(isCalicoPlan(null)).toBe(false);
  });

  it('has a JSON Schema in step with its zod schema', () => {
    expect(readFileSync(join(__dirname, '..', '..', 'plan', 'calico-plan.schema.json'), 'utf8')).toBe(
      calicoPlanJsonSchema(),
    );
  });
});
