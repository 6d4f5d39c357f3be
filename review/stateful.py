"""What can't be had back once it is deleted or replaced, and who allowed it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Literal

Loss = Literal["replace", "delete"]

# What goes with the resource. Aurora's instances are not here: their data is the cluster's. Log groups
# are: logs are evidence, and AWS deletes them at once. Repositories are: without its image no release has
# a way back. A zone is: its successor gets other name servers, which the registrar does not know.
STATEFUL = {
    "aws:backup/vault:Vault": "recovery points",
    "aws:backup/logicallyAirGappedVault:LogicallyAirGappedVault": "recovery points",
    "aws:cloudtrail/eventDataStore:EventDataStore": "the audit trail",
    "aws:cloudwatch/logGroup:LogGroup": "logs",
    "aws:cognito/userPool:UserPool": "user accounts",
    "aws:docdb/cluster:Cluster": "data",
    "aws:dynamodb/globalTable:GlobalTable": "data",
    "aws:dynamodb/table:Table": "data",
    "aws:dynamodb/tableReplica:TableReplica": "data",
    "aws:ebs/snapshot:Snapshot": "data",
    "aws:ebs/volume:Volume": "data",
    "aws:ecr/repository:Repository": "images",
    "aws:efs/fileSystem:FileSystem": "data",
    "aws:kinesis/stream:Stream": "records that are still to be read",
    "aws:kms/externalKey:ExternalKey": "the key, and all that it encrypts",
    "aws:kms/key:Key": "the key, and all that it encrypts",
    "aws:kms/replicaKey:ReplicaKey": "the key, and all that it encrypts",
    "aws:memorydb/cluster:Cluster": "data",
    "aws:neptune/cluster:Cluster": "data",
    "aws:opensearch/domain:Domain": "data",
    "aws:rds/cluster:Cluster": "data",
    "aws:rds/clusterSnapshot:ClusterSnapshot": "data",
    "aws:rds/instance:Instance": "data",
    "aws:rds/snapshot:Snapshot": "data",
    "aws:redshift/cluster:Cluster": "data",
    "aws:route53/zone:Zone": "the name servers",
    "aws:s3/bucket:Bucket": "objects",
    "aws:s3/bucketV2:BucketV2": "objects",
    "aws:secretsmanager/secret:Secret": "the secret's value",
    "aws:sqs/queue:Queue": "messages that are still to be read",
}


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """Lets a plan delete or replace a stateful resource.

    resource: its name, its URN, or a pattern of either with `*`.
    expires: the last day on which it counts.

    Raises ValueError for a pattern that would allow everything.
    """

    resource: str
    operation: Loss
    reason: str
    expires: date

    def __post_init__(self) -> None:
        if not self.resource.strip("*?"):
            raise ValueError(
                f"an allowance for {self.resource!r} would allow every resource; name one, "
                "such as main or *:rds/instance:*::main"
            )

    def covers(self, *, urn: str, name: str, operation: str) -> bool:
        """Whether it is about this resource and operation, expired or not."""
        named = fnmatchcase(name, self.resource) or fnmatchcase(urn, self.resource)
        return named and operation == self.operation


def allowance_for(
    urn: str, name: str, operation: str, allowances: Sequence[Allowance], today: date
) -> Allowance | None:
    """The allowance that counts: one that is still good, else one that has expired, else none."""
    found = [each for each in allowances if each.covers(urn=urn, name=name, operation=operation)]
    return max(found, key=lambda each: (each.expires >= today, each.expires), default=None)
