"""Makes a region's price table anew from the AWS Price List API.

    python -m review.cost_refresh eu-west-1 [db.t4g.medium …]

Needs credentials that may call pricing:GetProducts. A key that AWS does not answer with exactly one price is
reported, and the file stays as it was; with `--allow-missing` the rest is written, and the key is unpriced.
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol

from review.cost_prices import FOLDER, InvalidPrices, Price, PriceTable, load

# The API is in few regions; the prices of all are in each.
API_REGION = "eu-central-1"
# What usage types of a region begin with.
PREFIXES: Mapping[str, str] = {
    "eu-west-1": "EU",
    "eu-west-2": "EUW2",
    "eu-central-1": "EUC1",
    "eu-north-1": "EUN1",
    "us-east-1": "USE1",
    "us-west-2": "USW2",
}
ENGINES: Mapping[str, str] = {"postgres": "PostgreSQL"}
DEPLOYMENTS: Mapping[str, str] = {"single": "Single-AZ", "multi": "Multi-AZ"}


class PricingClient(Protocol):
    """boto3's client for `pricing`, as far as it is used."""

    def get_paginator(self, operation_name: str, /) -> Any:
        """A paginator."""


class NoSinglePrice(LookupError):
    """AWS does not answer a query with exactly one price."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which product is meant. `usage` is the usage type behind the region's prefix and a hyphen."""

    service: str
    usage: str = ""
    # A few services write the region's whole name in front.
    usage_of_region: str = ""
    filters: Mapping[str, str] | None = None

    def terms(self, region: str) -> dict[str, str]:
        """The filters of the API by field."""
        found = {"regionCode": region, **(self.filters or {})}
        if self.usage:
            found["usagetype"] = f"{PREFIXES[region]}-{self.usage}"
        if self.usage_of_region:
            found["usagetype"] = f"{region}-{self.usage_of_region}"
        return found


_APPLICATION = {"operation": "LoadBalancing:Application"}

QUERIES: Mapping[str, Query] = {
    "fargate.x86_64.vcpu_hour": Query(service="AmazonECS", usage="Fargate-vCPU-Hours:perCPU"),
    "fargate.x86_64.gb_hour": Query(service="AmazonECS", usage="Fargate-GB-Hours"),
    "fargate.arm64.vcpu_hour": Query(service="AmazonECS", usage="Fargate-ARM-vCPU-Hours:perCPU"),
    "fargate.arm64.gb_hour": Query(service="AmazonECS", usage="Fargate-ARM-GB-Hours"),
    "alb.hour": Query(service="AWSELB", usage="LoadBalancerUsage", filters=_APPLICATION),
    "alb.lcu_hour": Query(service="AWSELB", usage="LCUUsage", filters=_APPLICATION),
    "ipv4.hour": Query(service="AmazonVPC", usage="PublicIPv4:InUseAddress"),
    "nat.hour": Query(service="AmazonEC2", usage="NatGateway-Hours"),
    "nat.gb": Query(service="AmazonEC2", usage="NatGateway-Bytes"),
    "endpoint.hour": Query(service="AmazonVPC", usage="VpcEndpoint-Hours"),
    "endpoint.gb": Query(service="AmazonVPC", usage="VpcEndpoint-Bytes"),
    "rds.gp3.single.gb_month": Query(
        service="AmazonRDS", usage="RDS:GP3-Storage", filters={"databaseEngine": "PostgreSQL"}
    ),
    "rds.gp3.multi.gb_month": Query(
        service="AmazonRDS", usage="RDS:Multi-AZ-GP3-Storage", filters={"databaseEngine": "PostgreSQL"}
    ),
    "rds.backup.gb_month": Query(
        service="AmazonRDS", usage="RDS:ChargedBackupUsage", filters={"databaseEngine": "PostgreSQL"}
    ),
    "cloudwatch.alarm.metric_month": Query(service="AmazonCloudWatch", usage="CW:AlarmMonitorUsage"),
    "cloudwatch.alarm.high_resolution.metric_month": Query(
        service="AmazonCloudWatch", usage="CW:HighResAlarmMonitorUsage"
    ),
    "cloudwatch.dashboard.month": Query(service="AmazonCloudWatch", usage="DashboardsUsageHour"),
    "cloudwatch.logs.ingested_gb": Query(service="AmazonCloudWatch", usage="DataProcessing-Bytes"),
    "cloudwatch.logs.stored_gb_month": Query(service="AmazonCloudWatch", usage="TimedStorage-ByteHrs"),
    "kms.key.month": Query(service="awskms", usage_of_region="KMS-Keys"),
    "secretsmanager.secret.month": Query(service="AWSSecretsManager", usage="AWSSecretsManager-Secrets"),
    "s3.standard.gb_month": Query(
        service="AmazonS3", usage="TimedStorage-ByteHrs", filters={"volumeType": "Standard"}
    ),
    "ecr.gb_month": Query(service="AmazonECR", usage="TimedStorage-ByteHrs"),
    "dynamodb.write_million": Query(service="AmazonDynamoDB", usage="WriteRequestUnits"),
    "dynamodb.read_million": Query(service="AmazonDynamoDB", usage="ReadRequestUnits"),
    "dynamodb.gb_month": Query(service="AmazonDynamoDB", usage="TimedStorage-ByteHrs"),
    "dynamodb.pitr.gb_month": Query(service="AmazonDynamoDB", usage="TimedPITRStorage-ByteHrs"),
}
# AWS's unit where the table's is another: the price is multiplied.
SCALE: Mapping[str, Decimal] = {
    "dynamodb.write_million": Decimal(1_000_000),
    "dynamodb.read_million": Decimal(1_000_000),
}


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """A new table, and why some keys are not in it."""

    table: PriceTable
    missing: Mapping[str, str]


def refresh_prices(
    pricing_client: PricingClient, region: str, instance_classes: Sequence[str], today: date
) -> Refreshed:
    """The prices of a region as AWS lists them now, with those of PostgreSQL on these instance classes.

    Raises InvalidPrices for a region whose usage types nobody has written down, and what boto3 raises.
    """
    if region not in PREFIXES:
        raise InvalidPrices(
            f"{region} has no entry in PREFIXES of review/cost_refresh.py; known: {', '.join(PREFIXES)}"
        )
    found: dict[str, Price] = {}
    missing: dict[str, str] = {}
    for key, query in {**QUERIES, **_instances(instance_classes)}.items():
        try:
            usd = _price(pricing_client, query, region) * SCALE.get(key, Decimal(1))
            found[key] = Price(usd=usd, basis="list")
        except NoSinglePrice as error:
            missing[key] = str(error)
    source = "AWS Price List API, on demand"
    return Refreshed(
        table=PriceTable(region=region, as_of=today, source=source, prices=found), missing=missing
    )


def _instances(classes: Sequence[str]) -> dict[str, Query]:
    return {
        f"rds.{engine}.{kind}.{zones}.hour": Query(
            service="AmazonRDS",
            filters={"instanceType": kind, "databaseEngine": aws, "deploymentOption": deployment},
        )
        for kind in classes
        for engine, aws in ENGINES.items()
        for zones, deployment in DEPLOYMENTS.items()
    }


def _price(client: PricingClient, query: Query, region: str) -> Decimal:
    """The one price of a product. Raises NoSinglePrice."""
    terms = query.terms(region)
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in terms.items()]
    pages = client.get_paginator("get_products").paginate(
        ServiceCode=query.service, FormatVersion="aws_v1", Filters=filters
    )
    prices = {price for page in pages for text in page["PriceList"] for price in _on_demand(json.loads(text))}
    if len(prices) != 1:
        asked = ", ".join(f"{name}={value}" for name, value in terms.items())
        told = ", ".join(sorted(map(str, prices))) or "no price"
        raise NoSinglePrice(f"{query.service} with {asked}: {told}")
    return prices.pop()


def _on_demand(product: Mapping[str, Any]) -> Iterator[Decimal]:
    """The price of each on-demand term: of several tiers the first that is not free."""
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        tiers = sorted(
            term["priceDimensions"].values(), key=lambda tier: Decimal(tier.get("beginRange") or 0)
        )
        costs = (Decimal(tier["pricePerUnit"]["USD"]) for tier in tiers if "USD" in tier["pricePerUnit"])
        first = next((cost for cost in costs if cost > 0), None)
        if first is not None:
            yield first.normalize()


def main(arguments: Sequence[str]) -> int:
    """Writes the table of the region that is named first. Returns 1 if it did not."""
    import boto3  # Only this needs it, and it takes a second.

    allow_missing = "--allow-missing" in arguments
    named = [argument for argument in arguments if not argument.startswith("--")]
    if not named:
        sys.stderr.write("give a region: python -m review.cost_refresh eu-west-1 [db.t4g.medium …]\n")
        return 2
    region, *classes = named
    client = boto3.client("pricing", region_name=API_REGION)
    try:
        refreshed = refresh_prices(
            client, region, classes or _priced_classes(region), datetime.now(UTC).date()
        )
    except InvalidPrices as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for key, why in sorted(refreshed.missing.items()):
        sys.stderr.write(f"{key}: {why}\n")
    if refreshed.missing and not allow_missing:
        sys.stderr.write("nothing was written; --allow-missing writes the others\n")
        return 1
    (FOLDER / f"{region}.json").write_text(refreshed.table.as_json())
    return 0


def _priced_classes(region: str) -> list[str]:
    """The instance classes that the present table has; none without one."""
    try:
        keys = load(region).prices
    except InvalidPrices:
        return []
    return sorted({".".join(key.split(".")[2:5]) for key in keys if key.startswith("rds.postgres.")})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
