// A migration of a source on RDS whose files go to S3: the worker as it is deployed, against moto.
import { CreateDBInstanceCommand, RDSClient } from '@aws-sdk/client-rds';
import { CreateBucketCommand, GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { journalQuery, reportQuery } from '../../workflows/messages';
import { describeAws, pretendCredentials } from '../fixtures/aws-rig';
import { startMoto, type MotoServer } from '../../local/moto-server';
import { startShopWorld, type ShopWorld } from '../fixtures/shop-world';

describeAws('a migration with a snapshot by RDS and artifacts in S3, on moto', () => {
  let moto: MotoServer;
  let world: ShopWorld;
  const region = 'us-east-1';
  const of = (): { endpoint: string; region: string } => ({ endpoint: moto.endpoint, region });
  let s3: S3Client;

  beforeAll(async () => {
    pretendCredentials();
    moto = await startMoto();
    s3 = new S3Client({ ...of(), forcePathStyle: true });
    await s3.send(new CreateBucketCommand({ Bucket: 'backups' }));
    const rds = new RDSClient(of());
    await rds.send(
      new CreateDBInstanceCommand({
        DBInstanceIdentifier: 'source-db',
        Engine: 'postgres',
        EngineVersion: '15.4',
        DBInstanceClass: 'db.t3.medium',
        AllocatedStorage: 20,
        MasterUsername: 'owner',
        MasterUserPassword: 'not-a-secret',
      }),
    );
    rds.destroy();
    world = await startShopWorld({
      orders: 300,
      rate: 20,
      documents: false,
      variables: {
        CUTOVER_ARTIFACTS: 's3://backups/cutover',
        AWS_ENDPOINT_URL_S3: moto.endpoint,
        AWS_REGION: region,
        AWS_ACCESS_KEY_ID: 'testing',
        AWS_SECRET_ACCESS_KEY: 'testing',
      },
    });
  }, 600_000);
  afterAll(async () => {
    s3.destroy();
    await world.stop();
    await moto.stop();
  });

  it('completes, keeps the snapshot and says how it is restored, in a report that is in the bucket', async () => {
    const snapshot = { kind: 'rds', instance: 'source-db', endpoint: moto.endpoint } as const;
    const handle = await world.start({ snapshot });
    const { outcome, reportArtifact } = await handle.result();
    expect(outcome).toBe('completed');
    const { steps, artifacts, left } = await handle.query(journalQuery);
    expect(steps.find(({ id }) => id === 'verify-snapshot')?.result).toContain('a restore was not tried');
    expect(artifacts.map(({ url }) => url).filter((url) => !url.startsWith('s3://backups/cutover/'))).toEqual([]);
    expect(left).toContainEqual(expect.objectContaining({ kind: 'RDS snapshot', state: 'kept' }));
    expect(await handle.query(reportQuery)).toContain('aws rds restore-db-instance-from-db-snapshot');
    const Key = reportArtifact.replace('s3://backups/', '');
    const { Body, ContentType } = await s3.send(new GetObjectCommand({ Bucket: 'backups', Key }));
    expect(ContentType).toContain('text/html');
    expect(await Body?.transformToString()).toContain('restore-db-instance-from-db-snapshot');
  }, 600_000);
});
