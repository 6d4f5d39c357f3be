"""Databases and backups: RDS.* and Backup.*, from AWS Security Hub's pages of both.

Of the instance rules only those for PostgreSQL are here; cluster rules have nothing to judge.
"""

from collections.abc import Callable, Iterator

from policies.model import UNKNOWN, Control, Resource, Severity, Stack, given, is_true, items, value

INSTANCE = "aws:rds/instance:Instance"
SUBNET_GROUP = "aws:rds/subnetGroup:SubnetGroup"
SUBSCRIPTION = "aws:rds/eventSubscription:EventSubscription"
SUBNET = "aws:ec2/subnet:Subnet"
ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
ROUTE_TABLE = "aws:ec2/routeTable:RouteTable"
ROUTE = "aws:ec2/route:Route"
INTERNET_GATEWAY = "aws:ec2/internetGateway:InternetGateway"
VAULT = "aws:backup/vault:Vault"

DEFAULT_PORTS = {"postgres": 5432, "mysql": 3306, "mariadb": 3306}
WELL_KNOWN_OWNERS = ("postgres", "admin", "root")
BACKUP_DAYS = 7
LOGS = ("postgresql", "upgrade")


def _is_replica(instance: Resource) -> bool:
    return given(instance.properties, "replicateSourceDb")


def true(path: str, message: str) -> Callable[[Resource], str | None]:
    """The check that a property is true."""
    return lambda resource: None if is_true(resource.properties, path) else message


def is_private(instance: Resource) -> str | None:
    if value(instance.properties, "publiclyAccessible") is True:
        return "it has a public address"
    return None


def is_watched(instance: Resource) -> str | None:
    interval = value(instance.properties, "monitoringInterval")
    if interval is UNKNOWN or (interval or 0) > 0:
        return None
    return "enhanced monitoring is off"


def writes_logs(*wanted: str) -> Callable[[Resource], str | None]:
    """The check that these logs go to CloudWatch."""

    def check(instance: Resource) -> str | None:
        found = items(instance.properties, "enabledCloudwatchLogsExports")
        missing = [log for log in wanted if log not in found]
        if not missing or value(instance.properties, "enabledCloudwatchLogsExports") is UNKNOWN:
            return None
        return f"does not send to CloudWatch: {', '.join(missing)}"

    return check


def is_backed_up(instance: Resource) -> str | None:
    days = value(instance.properties, "backupRetentionPeriod")
    if _is_replica(instance) or days is UNKNOWN or (days or 0) >= BACKUP_DAYS:
        return None
    return f"its backups are kept for {days or 0:g} days; {BACKUP_DAYS} are the least"


def upgrades_itself(instance: Resource) -> str | None:
    # AWS's own default is true.
    if value(instance.properties, "autoMinorVersionUpgrade") is False:
        return "minor versions with security fixes are not installed"
    return None


def has_its_own_port(instance: Resource) -> str | None:
    engine, port = value(instance.properties, "engine"), value(instance.properties, "port")
    usual = DEFAULT_PORTS.get(engine)
    # A replica takes its source's.
    if usual is None or port not in (usual, None) or (port is None and _is_replica(instance)):
        return None
    return f"it listens on {usual}, where everybody tries first"


def has_its_own_owner(instance: Resource) -> str | None:
    name = value(instance.properties, "username")
    return f"its owner is called {name}" if name in WELL_KNOWN_OWNERS else None


def is_not_beside_the_internet(stack: Stack) -> Iterator[tuple[Resource, str]]:
    for instance in stack.of(INSTANCE):
        subnets = [
            subnet
            for group in stack.used(instance, "dbSubnetGroupName", SUBNET_GROUP)
            for subnet in stack.used(group, "subnetIds", SUBNET)
            if _leads_to_the_internet(stack, subnet)
        ]
        if subnets:
            names = ", ".join(sorted(subnet.name for subnet in subnets))
            yield instance, f"has a route to an internet gateway: {names}"


def _leads_to_the_internet(stack: Stack, subnet: Resource) -> bool:
    tables = (
        table
        for association in stack.users(subnet, ASSOCIATION, "subnetId")
        for table in stack.used(association, "routeTableId", ROUTE_TABLE)
    )
    return any(
        stack.used(route, "gatewayId", INTERNET_GATEWAY)
        for table in tables
        for route in stack.users(table, ROUTE, "routeTableId")
    )


def tells(source: str, *categories: str) -> Callable[[Stack], Iterator[tuple[Resource, str]]]:
    """The check that critical events of a kind of source are sent to someone, where there is a database."""

    def check(stack: Stack) -> Iterator[tuple[Resource, str]]:
        subscriptions = [
            subscription
            for subscription in stack.of(SUBSCRIPTION)
            if value(subscription.properties, "sourceType") == source
            and value(subscription.properties, "enabled") is not False
            and _covers(subscription, categories)
        ]
        if not subscriptions:
            for instance in stack.of(INSTANCE):
                if not _is_replica(instance):
                    yield instance, f"nobody hears of {source} events: {', '.join(categories)}"

    return check


def _covers(subscription: Resource, categories: tuple[str, ...]) -> bool:
    """No categories at all are all of them."""
    found = items(subscription.properties, "eventCategories")
    return not found or set(categories) <= set(found)


def _events(number: int, source: str, what: str, *categories: str) -> Control:
    return Control(
        id=f"RDS.{number}",
        title=f"Somebody hears of critical events of {what}",
        severity=Severity.LOW,
        remedy=f"declare aws.rds.EventSubscription with source type {source} and {', '.join(categories)}",
        check_stack=tells(source, *categories),
    )


def vault_has_a_key(vault: Resource) -> str | None:
    return None if given(vault.properties, "kmsKeyArn") else "its recovery points have no key of the stack"


CONTROLS = (
    Control(
        id="RDS.2",
        title="Databases have no public address",
        severity=Severity.CRITICAL,
        remedy="set publiclyAccessible to false",
        types=(INSTANCE,),
        check=is_private,
    ),
    Control(
        id="RDS.3",
        title="Databases are encrypted",
        severity=Severity.MEDIUM,
        remedy="set storageEncrypted to true",
        types=(INSTANCE,),
        check=lambda i: None if _is_replica(i) else true("storageEncrypted", "its storage is plain")(i),
    ),
    Control(
        id="RDS.5",
        title="Databases survive the loss of a zone",
        severity=Severity.MEDIUM,
        remedy="set databases.<name>.multi_az to true",
        types=(INSTANCE,),
        check=true("multiAz", "it has no standby in a second zone"),
    ),
    Control(
        id="RDS.6",
        title="Databases have enhanced monitoring",
        severity=Severity.LOW,
        remedy="set monitoringInterval and monitoringRoleArn",
        types=(INSTANCE,),
        check=is_watched,
    ),
    Control(
        id="RDS.8",
        title="Databases refuse to be deleted",
        severity=Severity.LOW,
        remedy="set databases.<name>.deletion_protection to true",
        types=(INSTANCE,),
        check=true("deletionProtection", "anybody may delete it"),
    ),
    Control(
        id="RDS.9",
        title="Databases send their logs to CloudWatch",
        severity=Severity.MEDIUM,
        remedy="set enabledCloudwatchLogsExports to postgresql and upgrade",
        types=(INSTANCE,),
        check=writes_logs(*LOGS),
    ),
    Control(
        id="RDS.10",
        title="Databases take IAM authentication",
        severity=Severity.MEDIUM,
        remedy="set iamDatabaseAuthenticationEnabled to true",
        types=(INSTANCE,),
        check=true("iamDatabaseAuthenticationEnabled", "it takes passwords only"),
    ),
    Control(
        id="RDS.11",
        title=f"Backups of databases are kept for {BACKUP_DAYS} days",
        severity=Severity.MEDIUM,
        remedy=f"set databases.<name>.backup_retention_days to {BACKUP_DAYS} or more",
        types=(INSTANCE,),
        check=is_backed_up,
    ),
    Control(
        id="RDS.13",
        title="Databases install minor versions by themselves",
        severity=Severity.HIGH,
        remedy="set autoMinorVersionUpgrade to true",
        types=(INSTANCE,),
        check=upgrades_itself,
    ),
    Control(
        id="RDS.17",
        title="Snapshots of databases carry their tags",
        severity=Severity.LOW,
        remedy="set copyTagsToSnapshot to true",
        types=(INSTANCE,),
        check=true("copyTagsToSnapshot", "its snapshots carry no tags"),
    ),
    _events(20, "db-instance", "database instances", "maintenance", "configuration change", "failure"),
    _events(21, "db-parameter-group", "parameter groups", "configuration change"),
    _events(22, "db-security-group", "database security groups", "configuration change", "failure"),
    Control(
        id="RDS.23",
        title="Databases do not listen on the port that everybody knows",
        severity=Severity.LOW,
        remedy="choose another port",
        types=(INSTANCE,),
        check=has_its_own_port,
    ),
    Control(
        id="RDS.25",
        title="The owner of a database has a name that can't be guessed",
        severity=Severity.MEDIUM,
        remedy=f"choose another username than {', '.join(WELL_KNOWN_OWNERS)}",
        types=(INSTANCE,),
        check=has_its_own_owner,
    ),
    Control(
        id="RDS.36",
        title="PostgreSQL sends its log to CloudWatch",
        severity=Severity.MEDIUM,
        remedy="set enabledCloudwatchLogsExports to postgresql",
        types=(INSTANCE,),
        check=writes_logs("postgresql"),
    ),
    Control(
        id="RDS.46",
        title="Databases are in no subnet with a route to the internet",
        severity=Severity.HIGH,
        remedy="take subnets without a route to an internet gateway",
        check_stack=is_not_beside_the_internet,
    ),
    Control(
        id="Backup.1",
        title="Recovery points are encrypted by a key of the stack",
        severity=Severity.MEDIUM,
        remedy="set kmsKeyArn of the vault",
        types=(VAULT,),
        check=vault_has_a_key,
    ),
)
