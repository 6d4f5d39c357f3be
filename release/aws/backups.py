"""When a database was backed up last."""

from datetime import datetime
from typing import TYPE_CHECKING

from release.aws.session import asking

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient

# Without a type RDS leaves those of AWS Backup out; each kind has to be asked for.
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBSnapshots.html
SNAPSHOT_TYPES = ("automated", "awsbackup", "manual")


def newest_backup(rds: "RDSClient", identifier: str) -> datetime | None:
    """When the newest finished snapshot of the database was made; None if there is none at all.

    The recovery points of AWS Backup are snapshots of RDS too. What continuous backups can restore is left
    out: it goes when the instance goes. Raises Unavailable.
    """
    made = []
    for kind in SNAPSHOT_TYPES:
        with asking(f"look for {kind} backups of the database {identifier}"):
            pages = rds.get_paginator("describe_db_snapshots").paginate(
                DBInstanceIdentifier=identifier, SnapshotType=kind
            )
            made += [
                snapshot["SnapshotCreateTime"]
                for page in pages
                for snapshot in page["DBSnapshots"]
                if snapshot["Status"] == "available"
            ]
    return max(made, default=None)
