import {
  CreateDBClusterCommand,
  CreateDBInstanceCommand,
  DeleteDBSnapshotCommand,
  DescribeDBSnapshotsCommand,
  RDSClient,
} from '@aws-sdk/client-rds';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { PostgresDependencies } from '../../activities/dependencies';
import { failureType } from '../../activities/errors';
import { PostgresConnections } from '../../activities/postgres/connection';
import { runChecks } from '../../activities/postgres/preflight/check';
import { CheckContext } from '../../activities/postgres/preflight/context';
import { snapshotChecks } from '../../activities/postgres/preflight/snapshot';
import type { PostgresScope } from '../../activities/postgres/scope';
import { createSnapshotActivities, type SnapshotResult } from '../../activities/postgres/snapshot';
import { takeRdsSnapshot, type RdsProgress, type RdsSnapshotReference } from '../../activities/postgres/snapshot/rds';
import { createFileStore } from '../../activities/artifacts/file-store';
import type { Check } from '../../journal/types';
import type { RdsSnapshot } from '../../plan/postgres';
import { describeAws, pretendCredentials, queryError, startAws, type AwsRig } from '../fixtures/aws-rig';
import { until } from '../fixtures/until';

const sourceHost = 'source-db.example.internal';

describeAws('a snapshot by RDS, on moto', () => {
  let aws: AwsRig;
  let admin: RDSClient;
  let dependencies: PostgresDependencies;
  let plan: RdsSnapshot;
  const scope: PostgresScope = {
    migration: 'Orders/to-18',
    source: { env: 'SOURCE' },
    target: { env: 'TARGET' },
    tables: { include: ['*.*'], exclude: [] },
  };

  beforeAll(async () => {
    aws = await startAws();
    admin = new RDSClient({ endpoint: aws.moto.endpoint, region: 'us-east-1' });
  });
  beforeEach(async () => {
    await fetch(`${aws.moto.endpoint}/moto-api/reset`, { method: 'POST' });
    const owner = { MasterUsername: 'owner', MasterUserPassword: 'not-a-secret' };
    const common = { Engine: 'postgres', EngineVersion: '15.4', DBInstanceClass: 'db.t3.medium', AllocatedStorage: 20 };
    for (const DBInstanceIdentifier of ['source-db', 'another-db'])
      await admin.send(
        new CreateDBInstanceCommand({ DBInstanceIdentifier, ...common, ...owner, StorageEncrypted: true }),
      );
    plan = { kind: 'rds', instance: 'source-db', endpoint: aws.endpoint, timeout: '1m', keep: true };
    const connections = new PostgresConnections({ SOURCE: `postgresql://owner@${sourceHost}/orders` });
    dependencies = {
      connections,
      tools: {},
      artifacts: createFileStore('file:///nowhere'),
      environment: { AWS_REGION: 'us-east-1' },
    };
  });
  afterEach(() => {
    aws.open();
    pretendCredentials();
  });
  afterAll(async () => {
    admin.destroy();
    await aws.stop();
  });

  const typeOf = (work: Promise<unknown>) => work.then(() => 'no failure', failureType);
  const made = async (): Promise<string[]> => {
    const { DBSnapshots = [] } = await admin.send(new DescribeDBSnapshotsCommand({ SnapshotType: 'manual' }));
    return DBSnapshots.map(({ DBSnapshotIdentifier = '' }) => DBSnapshotIdentifier);
  };
  interface Attempt {
    begunAt?: number;
    runId?: string;
    signal?: AbortSignal;
    report?: (progress: RdsProgress) => void;
    snapshot?: Partial<RdsSnapshot>;
  }
  const take = ({
    begunAt = Date.now(),
    runId = 'run-1',
    signal = new AbortController().signal,
    report = () => undefined,
    snapshot = {},
  }: Attempt = {}): Promise<RdsSnapshotReference> =>
    takeRdsSnapshot(
      { migration: scope.migration, runId, begunAt },
      { ...plan, ...snapshot },
      { environment: { AWS_REGION: 'us-east-1' }, signal, report },
      20,
    );
  const statusIs = (status: string, percent = 0): void => {
    aws.after = ({ body }, answer) =>
      body.includes('Action=DescribeDBSnapshots') || body.includes('Action=CreateDBSnapshot')
        ? answer
            .replaceAll(/<PercentProgress>[^<]*<\/PercentProgress>/g, '')
            .replaceAll(
              '<Status>available</Status>',
              `<Status>${status}</Status><PercentProgress>${percent}</PercentProgress>`,
            )
        : answer;
  };

  it('is made of the instance, described as it is, and comes with the commands that restore it', async () => {
    const { takeSnapshot, verifySnapshot } = createSnapshotActivities(dependencies);
    const environment = new MockActivityEnvironment({ scheduledTimestampMs: Date.UTC(2026, 4, 21, 10, 15) });
    const taken: SnapshotResult = await environment.run(takeSnapshot, {
      scope,
      snapshot: { ...plan, timeout: '100000d' },
      name: 'orders',
    });
    expect(await made()).toEqual([taken.rds!.id]);
    expect(taken.rds).toMatchObject({
      of: { kind: 'instance', id: 'source-db' },
      engine: 'postgres',
      engineVersion: '15.4',
      allocatedGigabytes: 20,
      encrypted: true,
    });
    expect(taken.rds!.id).toMatch(/^cutover-orders-to-18-[0-9a-f]{10}-[0-9a-f]{8}-20260521101500$/);
    expect(taken.rds!.arn).toContain(':snapshot:cutover-orders-to-18-');
    const [restore, wait] = taken.rds!.restore;
    expect(restore).toMatch(
      /^aws rds restore-db-instance-from-db-snapshot --db-instance-identifier source-db-restored --db-snapshot-identifier cutover-\S+ --db-instance-class db\.t3\.medium .*--region us-east-1$/,
    );
    expect(wait).toBe(
      'aws rds wait db-instance-available --db-instance-identifier source-db-restored --region us-east-1',
    );
    const { method, evidence } = await verifySnapshot({ scope, snapshot: plan, result: taken });
    expect(method).toBe('describe');
    expect(evidence.join('\n')).toContain('is available: postgres 15.4, 20 GB allocated, encrypted');
    expect(evidence.join('\n')).toContain('a restore was not tried');
    await admin.send(new DeleteDBSnapshotCommand({ DBSnapshotIdentifier: taken.rds!.id }));
    expect(await typeOf(verifySnapshot({ scope, snapshot: plan, result: taken }))).toBe('VerificationMismatch');
  });

  it('of a cluster comes with the commands for a cluster', async () => {
    await admin.send(
      new CreateDBClusterCommand({
        DBClusterIdentifier: 'source-cluster',
        Engine: 'aurora-postgresql',
        MasterUsername: 'owner',
        MasterUserPassword: 'not-a-secret',
      }),
    );
    const { of, restore } = await take({ snapshot: { instance: undefined, cluster: 'source-cluster' } });
    expect(of).toEqual({ kind: 'cluster', id: 'source-cluster' });
    expect(restore.map((line) => line.split(' ').slice(0, 5).join(' '))).toEqual([
      'aws rds restore-db-cluster-from-snapshot --db-cluster-identifier source-cluster-restored',
      'aws rds wait db-cluster-available --db-cluster-identifier',
      'aws rds create-db-instance --db-instance-identifier source-cluster-restored-1',
      'aws rds wait db-instance-available --db-instance-identifier',
    ]);
  });

  it('that an attempt before has begun is found and waited for; another run of the migration takes its own', async () => {
    statusIs('creating', 40);
    const stop = new AbortController();
    const seen: RdsProgress[] = [];
    const first = take({
      begunAt: 1_000 * 3_600,
      signal: stop.signal,
      report: (progress) => seen.push(progress),
      snapshot: { timeout: '100000d' },
    });
    await until('progress is seen', () => seen.some(({ percent }) => percent === 40));
    stop.abort();
    await expect(first).rejects.toThrow();
    aws.open();
    const second = await take();
    expect(await made()).toEqual([second.id]);
    expect(second.id).toMatch(/-19700101010000$/);
    expect((await take()).id).toBe(second.id);
    expect((await take({ runId: 'run-2' })).id).not.toBe(second.id);
    expect(await made()).toHaveLength(2);
  });

  it('that never becomes available ends at the time limit of the plan, and a retry finds it', async () => {
    statusIs('creating', 12);
    const late = take({ snapshot: { timeout: '300ms' } });
    await expect(late).rejects.toThrow(/was not available within 300 ms, .*is creating, 12%/);
    expect(await typeOf(late)).toBe('PreconditionFailed');
    aws.open();
    expect([(await take()).id]).toEqual(await made());
  });

  it('that failed is an error, and a retry takes another', async () => {
    statusIs('failed');
    const broken = take({ begunAt: Date.now() - 10_000 });
    await expect(broken).rejects.toThrow('is failed. Look at the events of RDS');
    expect(await typeOf(broken)).toBe('PreconditionFailed');
    // Until another one is asked for, the list shows the broken one.
    aws.before = ({ body }) => {
      if (body.includes('Action=CreateDBSnapshot')) aws.after = (_asked, answer) => answer;
      return undefined;
    };
    await take();
    expect(await made()).toHaveLength(2);
  });

  it('waits for an instance that is busy', async () => {
    let refusals = 0;
    aws.before = ({ body }) =>
      body.includes('Action=CreateDBSnapshot') && ++refusals < 3
        ? queryError(400, 'InvalidDBInstanceState', 'Instance source-db is not in available state.')
        : undefined;
    await take();
    expect(refusals).toBe(3);
    expect(await made()).toHaveLength(1);
  });

  it('ends with its activity when that is cancelled', async () => {
    statusIs('creating');
    const environment = new MockActivityEnvironment({ scheduledTimestampMs: Date.now() });
    const beats: unknown[] = [];
    environment.on('heartbeat', (beat) => beats.push(beat));
    const { takeSnapshot } = createSnapshotActivities(dependencies);
    const taking = environment.run(takeSnapshot, { scope, snapshot: plan, name: 'orders' });
    await until('it is seen to be made', () =>
      JSON.stringify(beats).includes('creating: snapshot cutover-orders-to-18'),
    );
    environment.cancel('CANCELLED');
    await expect(taking).rejects.toThrow();
    expect(await made()).toHaveLength(1);
  });

  it('says what is missing: the instance, PostgreSQL, a permission by its name, credentials, the service', async () => {
    await expect(take({ snapshot: { instance: 'nobodys' } })).rejects.toThrow(
      'There is no RDS instance nobodys in us-east-1',
    );
    const denied =
      'User: arn:aws:iam::1:user/w is not authorized to perform: rds:AddTagsToResource on resource: arn:aws:rds:x';
    aws.before = ({ body }) =>
      body.includes('Action=CreateDBSnapshot') ? queryError(403, 'AccessDenied', denied) : undefined;
    await expect(take()).rejects.toThrow("Allow the worker's AWS identity rds:AddTagsToResource on arn:aws:rds:x");
    expect(await typeOf(take())).toBe('AuthDenied');
    aws.before = () => queryError(503, 'ServiceUnavailable', 'later');
    expect(await typeOf(take())).toBe('SourceUnavailable');
    aws.open();
    expect(await typeOf(take({ snapshot: { endpoint: 'http://127.0.0.1:9' } }))).toBe('SourceUnavailable');
    aws.after = (_asked, answer) => answer.replaceAll('<Engine>postgres<', '<Engine>mysql<');
    await expect(take()).rejects.toThrow('runs mysql, not PostgreSQL');
    delete process.env.AWS_ACCESS_KEY_ID;
    await expect(take()).rejects.toThrow('the worker has no valid AWS credentials');
    expect(await made()).toEqual([]);
  });

  it('is looked into by preflight: what it is of, whether that is the source, and what may not be done', async () => {
    const look = async (): Promise<Check> => {
      const input = { scope, snapshot: plan } as ConstructorParameters<typeof CheckContext>[0];
      const context = new CheckContext(input, dependencies, new AbortController().signal);
      const [check] = await runChecks(snapshotChecks, context, {});
      return check!;
    };
    const elsewhere = await look();
    expect(elsewhere.outcome).toBe('warn');
    expect(elsewhere.found).toContain(`The source is reached at ${sourceHost}, which is none of its addresses`);
    const { found } = elsewhere;
    const [, own = ''] = /addresses \(([^)]+)\)/.exec(found) ?? [];
    dependencies.connections = new PostgresConnections({ SOURCE: `postgresql://owner@${own}/orders` });
    const right = await look();
    expect(right.outcome).toBe('pass');
    expect(right.found).toContain('is available, postgres 15.4; taking a snapshot needs rds:CreateDBSnapshot');
    aws.before = ({ body }) =>
      body.includes('Action=DescribeDBSnapshots') ? queryError(403, 'AccessDenied', 'no') : undefined;
    const denied = await look();
    expect(denied.outcome).toBe('fail');
    expect(denied.found).toContain("Allow the worker's AWS identity rds:DescribeDBSnapshots");
  });
});
