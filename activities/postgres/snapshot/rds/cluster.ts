// The calls for an Aurora or Multi-AZ cluster.
import type * as Rds from '@aws-sdk/client-rds';
import { errorName } from '../../../aws/errors';
import type { RdsCalls, RdsSnapshotState, RdsSubject } from './api';
import { present } from './instance';

export function clusterCalls(sdk: typeof Rds, client: Rds.RDSClient, cluster: string): RdsCalls {
  return {
    actions: {
      describe: 'rds:DescribeDBClusters',
      create: 'rds:CreateDBClusterSnapshot',
      list: 'rds:DescribeDBClusterSnapshots',
    },
    async describe(abortSignal) {
      try {
        const command = new sdk.DescribeDBClustersCommand({ DBClusterIdentifier: cluster });
        const { DBClusters = [] } = await client.send(command, { abortSignal });
        const found = DBClusters[0];
        if (!found) return undefined;
        return { ...subjectOf(cluster, found), memberClass: await writersClass(sdk, client, found, abortSignal) };
      } catch (error) {
        if (errorName(error) === 'DBClusterNotFound') return undefined;
        throw error;
      }
    },
    async list(abortSignal) {
      const found: RdsSnapshotState[] = [];
      const input = { DBClusterIdentifier: cluster, SnapshotType: 'manual' };
      for (let Marker: string | undefined; ;) {
        const page = await client.send(new sdk.DescribeDBClusterSnapshotsCommand({ ...input, Marker }), {
          abortSignal,
        });
        found.push(...(page.DBClusterSnapshots ?? []).map(stateOf));
        if (!page.Marker) return found;
        Marker = page.Marker;
      }
    },
    async find(id, abortSignal) {
      try {
        const command = new sdk.DescribeDBClusterSnapshotsCommand({ DBClusterSnapshotIdentifier: id });
        const { DBClusterSnapshots = [] } = await client.send(command, { abortSignal });
        return DBClusterSnapshots[0] && stateOf(DBClusterSnapshots[0]);
      } catch (error) {
        if (errorName(error) === 'DBClusterSnapshotNotFound') return undefined;
        throw error;
      }
    },
    async create(id, tags, abortSignal) {
      const Tags = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
      const input = { DBClusterIdentifier: cluster, DBClusterSnapshotIdentifier: id, Tags };
      await client.send(new sdk.CreateDBClusterSnapshotCommand(input), { abortSignal });
    },
  };
}

/** Only the restore commands need it, so whoever may not look at instances goes without. */
async function writersClass(
  sdk: typeof Rds,
  client: Rds.RDSClient,
  { DBClusterInstanceClass, DBClusterMembers = [] }: Rds.DBCluster,
  abortSignal: AbortSignal,
): Promise<string | undefined> {
  const writer = DBClusterMembers.find(({ IsClusterWriter }) => IsClusterWriter) ?? DBClusterMembers[0];
  if (DBClusterInstanceClass !== undefined || writer === undefined) return undefined;
  try {
    const command = new sdk.DescribeDBInstancesCommand({ DBInstanceIdentifier: writer.DBInstanceIdentifier });
    return (await client.send(command, { abortSignal })).DBInstances?.[0]?.DBInstanceClass;
  } catch {
    abortSignal.throwIfAborted();
    return undefined;
  }
}

function subjectOf(id: string, found: Rds.DBCluster): RdsSubject {
  return {
    kind: 'cluster',
    id,
    status: found.Status ?? '',
    engine: found.Engine ?? '',
    engineVersion: found.EngineVersion ?? '',
    addresses: present([found.Endpoint, found.ReaderEndpoint, ...(found.CustomEndpoints ?? [])]),
    instanceClass: found.DBClusterInstanceClass,
    subnetGroup: found.DBSubnetGroup,
    securityGroups: present((found.VpcSecurityGroups ?? []).map(({ VpcSecurityGroupId }) => VpcSecurityGroupId)),
    parameterGroup: found.DBClusterParameterGroup,
  };
}

function stateOf(found: Rds.DBClusterSnapshot): RdsSnapshotState {
  return {
    id: found.DBClusterSnapshotIdentifier ?? '',
    arn: found.DBClusterSnapshotArn,
    status: found.Status ?? '',
    percent: found.PercentProgress,
    engine: found.Engine ?? '',
    engineVersion: found.EngineVersion ?? '',
    // Of Aurora's own storage the service says 0 or 1.
    allocatedGigabytes: (found.AllocatedStorage ?? 0) > 1 ? found.AllocatedStorage : undefined,
    encrypted: found.StorageEncrypted ?? false,
    createdAt: found.SnapshotCreateTime,
  };
}
