// The calls for a DB instance.
import type * as Rds from '@aws-sdk/client-rds';
import { errorName } from '../../../aws/errors';
import type { RdsCalls, RdsSnapshotState, RdsSubject } from './api';

export function instanceCalls(sdk: typeof Rds, client: Rds.RDSClient, instance: string): RdsCalls {
  return {
    actions: { describe: 'rds:DescribeDBInstances', create: 'rds:CreateDBSnapshot', list: 'rds:DescribeDBSnapshots' },
    async describe(abortSignal) {
      try {
        const command = new sdk.DescribeDBInstancesCommand({ DBInstanceIdentifier: instance });
        const { DBInstances = [] } = await client.send(command, { abortSignal });
        return DBInstances[0] && subjectOf(instance, DBInstances[0]);
      } catch (error) {
        if (errorName(error) === 'DBInstanceNotFound') return undefined;
        throw error;
      }
    },
    async list(abortSignal) {
      const found: RdsSnapshotState[] = [];
      const input = { DBInstanceIdentifier: instance, SnapshotType: 'manual' };
      for (let Marker: string | undefined; ;) {
        const page = await client.send(new sdk.DescribeDBSnapshotsCommand({ ...input, Marker }), { abortSignal });
        found.push(...(page.DBSnapshots ?? []).map(stateOf));
        if (!page.Marker) return found;
        Marker = page.Marker;
      }
    },
    async find(id, abortSignal) {
      try {
        const command = new sdk.DescribeDBSnapshotsCommand({ DBSnapshotIdentifier: id });
        const { DBSnapshots = [] } = await client.send(command, { abortSignal });
        return DBSnapshots[0] && stateOf(DBSnapshots[0]);
      } catch (error) {
        if (errorName(error) === 'DBSnapshotNotFound') return undefined;
        throw error;
      }
    },
    async create(id, tags, abortSignal) {
      const Tags = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
      const input = { DBInstanceIdentifier: instance, DBSnapshotIdentifier: id, Tags };
      await client.send(new sdk.CreateDBSnapshotCommand(input), { abortSignal });
    },
  };
}

function subjectOf(id: string, found: Rds.DBInstance): RdsSubject {
  return {
    kind: 'instance',
    id,
    status: found.DBInstanceStatus ?? '',
    engine: found.Engine ?? '',
    engineVersion: found.EngineVersion ?? '',
    addresses: present([found.Endpoint?.Address]),
    instanceClass: found.DBInstanceClass,
    subnetGroup: found.DBSubnetGroup?.DBSubnetGroupName,
    securityGroups: present((found.VpcSecurityGroups ?? []).map(({ VpcSecurityGroupId }) => VpcSecurityGroupId)),
    parameterGroup: found.DBParameterGroups?.[0]?.DBParameterGroupName,
  };
}

function stateOf(found: Rds.DBSnapshot): RdsSnapshotState {
  return {
    id: found.DBSnapshotIdentifier ?? '',
    arn: found.DBSnapshotArn,
    status: found.Status ?? '',
    percent: found.PercentProgress,
    engine: found.Engine ?? '',
    engineVersion: found.EngineVersion ?? '',
    allocatedGigabytes: found.AllocatedStorage,
    encrypted: found.Encrypted ?? false,
    createdAt: found.SnapshotCreateTime,
  };
}

export function present(values: (string | undefined)[]): string[] {
  return values.filter((value) => value !== undefined);
}
