// How the snapshot is restored, as commands of the aws cli: into something new beside the old one, in the same network, never over it.
import type { RdsSubject } from './api';

/** One command a line, to be run in order. Every value comes from the service and is safe in a shell. */
export function restoreCommands(subject: RdsSubject, snapshot: string, region: string): string[] {
  const fresh = `${subject.id}-restored`;
  return subject.kind === 'instance'
    ? [
        aws('restore-db-instance-from-db-snapshot', region, [
          ['db-instance-identifier', fresh],
          ['db-snapshot-identifier', snapshot],
          ['db-instance-class', subject.instanceClass],
          ['db-subnet-group-name', subject.subnetGroup],
          ['vpc-security-group-ids', ...subject.securityGroups],
          ['db-parameter-group-name', subject.parameterGroup],
        ]),
        aws('wait db-instance-available', region, [['db-instance-identifier', fresh]]),
      ]
    : [
        aws('restore-db-cluster-from-snapshot', region, [
          ['db-cluster-identifier', fresh],
          ['snapshot-identifier', snapshot],
          ['engine', subject.engine],
          ['engine-version', subject.engineVersion],
          ['db-cluster-instance-class', subject.instanceClass],
          ['db-subnet-group-name', subject.subnetGroup],
          ['vpc-security-group-ids', ...subject.securityGroups],
          ['db-cluster-parameter-group-name', subject.parameterGroup],
        ]),
        aws('wait db-cluster-available', region, [['db-cluster-identifier', fresh]]),
        // A cluster of Aurora is storage without a server; a Multi-AZ cluster has made its own.
        ...(subject.instanceClass === undefined
          ? [
              aws('create-db-instance', region, [
                ['db-instance-identifier', `${fresh}-1`],
                ['db-cluster-identifier', fresh],
                ['engine', subject.engine],
                ['db-instance-class', subject.memberClass ?? 'db.r6g.large'],
              ]),
              aws('wait db-instance-available', region, [['db-instance-identifier', `${fresh}-1`]]),
            ]
          : []),
      ];
}

function aws(call: string, region: string, options: [name: string, ...values: (string | undefined)[]][]): string {
  const given = options.flatMap(([name, ...values]) => {
    const known = values.filter((value) => value !== undefined && value !== '');
    return known.length > 0 ? [`--${name} ${known.join(' ')}`] : [];
  });
  return [`aws rds ${call}`, ...given, `--region ${region}`].join(' ');
}
