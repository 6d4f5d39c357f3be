"""What each type of resource is billed by. Pure: quantities here, prices in the table.

A type that is neither here nor in FREE is unpriced, and said to be.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from review.cost_items import Item, number
from review.cost_usage import DAYS_PER_MONTH, HOURS_PER_MONTH, Usage

SERVICE = "aws:ecs/service:Service"
TASK = "aws:ecs/taskDefinition:TaskDefinition"
SCALING_TARGET = "aws:appautoscaling/target:Target"
INSTANCE = "aws:rds/instance:Instance"
CPU_UNITS_PER_VCPU = 1024
MIB_PER_GB = 1024
# Automated backups up to the size of the database are included, and so are these days of insights.
FREE_INSIGHT_DAYS = 7
# A period below this makes an alarm a high-resolution one.
HIGH_RESOLUTION_SECONDS = 60
ON_DEMAND = "PAY_PER_REQUEST"


@dataclass(frozen=True, kw_only=True)
class Charge:
    """A quantity of a month, to be multiplied by the price under `key`.

    assumed: whether the quantity rests on an assumption of the usage rather than on the program.
    """

    key: str
    what: str
    quantity: Decimal
    assumed: bool = False


@dataclass(frozen=True, kw_only=True)
class Open:
    """Something that is billed, and can't be priced here."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a rule may look at beside its resource."""

    items: Mapping[str, Item]
    usage: Usage

    def used(self, item: Item, name: str, type_: str) -> list[Item]:
        """The resources of a type that a property's value comes from."""
        found = (self.items.get(key) for key in item.uses.get(name, ()))
        return [other for other in found if other is not None and other.type == type_]

    def users(self, item: Item, type_: str, name: str) -> list[Item]:
        """The resources of a type whose property uses this one."""
        return [
            other
            for other in self.items.values()
            if other.type == type_ and item.key in other.uses.get(name, ())
        ]


Rule = Callable[[Item, Context], Iterator[Charge | Open]]


def _hours(key: str, what: str, count: int = 1) -> Charge:
    return Charge(key=key, what=what, quantity=HOURS_PER_MONTH * count)


def _monthly(key: str, what: str) -> Rule:
    def rule(_item: Item, _context: Context) -> Iterator[Charge]:
        yield Charge(key=key, what=what, quantity=Decimal(1))

    return rule


# --- the way in and out


def load_balancer(item: Item, context: Context) -> Iterator[Charge | Open]:
    yield _hours("alb.hour", "load balancer")
    lcus = context.usage.lcus
    yield Charge(key="alb.lcu_hour", what="capacity units", quantity=HOURS_PER_MONTH * lcus, assumed=True)
    if item.inputs.get("internal") is not True:
        subnets = item.inputs.get("subnets")
        if isinstance(subnets, list):
            yield _hours("ipv4.hour", "public addresses, one per zone", len(subnets))
        else:
            yield Open(why="its public addresses: the number of its subnets is not known")


def nat_gateway(_item: Item, context: Context) -> Iterator[Charge]:
    yield _hours("nat.hour", "NAT gateway")
    yield Charge(key="nat.gb", what="through it", quantity=context.usage.nat_gb, assumed=True)


def address(_item: Item, _context: Context) -> Iterator[Charge]:
    yield _hours("ipv4.hour", "public address")


def endpoint(item: Item, context: Context) -> Iterator[Charge | Open]:
    if item.inputs.get("vpcEndpointType") in (None, "Gateway"):
        return
    subnets = item.inputs.get("subnetIds")
    if not isinstance(subnets, list):
        yield Open(why="the number of its zones is not known")
        return
    yield _hours("endpoint.hour", "endpoint, per zone", len(subnets))
    yield Charge(key="endpoint.gb", what="through it", quantity=context.usage.endpoint_gb, assumed=True)


# --- containers


def service(item: Item, context: Context) -> Iterator[Charge | Open]:
    """One of the two colours runs, and stands here at the first; both run while a release does."""
    colours = sorted(
        (o for o in context.items.values() if o.type == SERVICE and o.component == item.component),
        key=lambda other: other.name,
    )
    if colours and item.key != colours[0].key:
        return
    tasks = _tasks(item, colours, context)
    if not tasks:
        yield Open(why="how many tasks run: neither assumed nor declared")
        return
    definitions = [d for colour in colours for d in context.used(colour, "taskDefinition", TASK)]
    sizes = [size for size in (_size(definition) for definition in definitions) if size is not None]
    if not sizes:
        yield Open(why="the size of its tasks is not known")
        return
    cpu, memory, architecture = max(sizes)
    hours = HOURS_PER_MONTH * tasks
    told = f"{tasks} tasks of the live colour"
    yield Charge(
        key=f"fargate.{architecture}.vcpu_hour", what=f"vCPU of {told}", quantity=hours * cpu, assumed=True
    )
    yield Charge(
        key=f"fargate.{architecture}.gb_hour", what=f"GB of {told}", quantity=hours * memory, assumed=True
    )


def _tasks(item: Item, colours: list[Item], context: Context) -> int:
    if item.component in context.usage.tasks:
        return context.usage.tasks[item.component]
    least = [
        target.number("minCapacity") or 0
        for target in context.items.values()
        if target.type == SCALING_TARGET and target.component == item.component
    ]
    return int(max([*least, *(colour.number("desiredCount") or 0 for colour in colours)], default=0))


def _size(definition: Item) -> tuple[Decimal, Decimal, str] | None:
    cpu, memory = definition.number("cpu"), definition.number("memory")
    if cpu is None or memory is None:
        return None
    platform = definition.inputs.get("runtimePlatform") or {}
    architecture = str(platform.get("cpuArchitecture", "X86_64")).lower()
    return Decimal(cpu) / CPU_UNITS_PER_VCPU, Decimal(memory) / MIB_PER_GB, architecture


def cluster(item: Item, _context: Context) -> Iterator[Open]:
    settings = item.inputs.get("settings") or []
    on = [s for s in settings if isinstance(s, Mapping) and s.get("name") == "containerInsights"]
    if any(setting.get("value") != "disabled" for setting in on):
        yield Open(why="container insights: billed by the number of metrics, which grows with the tasks")


# --- data


def database(item: Item, context: Context) -> Iterator[Charge | Open]:
    zones = "multi" if item.inputs.get("multiAz") is True else "single"
    engine, kind = item.inputs.get("engine", "postgres"), item.inputs.get("instanceClass")
    yield _hours(f"rds.{engine}.{kind}.{zones}.hour", f"{kind}, {zones}-AZ")
    size = item.number("allocatedStorage")
    storage = item.inputs.get("storageType", "gp2")
    if size is None:
        yield Open(why="its storage: the size is not known")
    else:
        yield Charge(key=f"rds.{storage}.{zones}.gb_month", what=f"{storage} storage", quantity=Decimal(size))
        yield from _backups(item, Decimal(size), context)
    if item.inputs.get("manageMasterUserPassword") is True:
        yield Charge(key="secretsmanager.secret.month", what="its password", quantity=Decimal(1))
    if (item.number("performanceInsightsRetentionPeriod") or 0) > FREE_INSIGHT_DAYS:
        yield Open(why="performance insights beyond 7 days: billed by vCPU and month")
    if (item.number("monitoringInterval") or 0) > 0:
        yield Open(why="enhanced monitoring: billed as the logs that it writes")


def _backups(item: Item, size: Decimal, context: Context) -> Iterator[Charge]:
    """Automated backups: what is beyond the size of the database itself."""
    usage, days = context.usage, Decimal(item.number("backupRetentionPeriod") or 0)
    kept = size * usage.database_fill * (1 + usage.database_change_per_day * days)
    if days and kept > size:
        yield Charge(key="rds.backup.gb_month", what="automated backups", quantity=kept - size, assumed=True)


def table(item: Item, context: Context) -> Iterator[Charge | Open]:
    usage = context.usage
    if item.inputs.get("billingMode") != ON_DEMAND:
        yield Open(why="provisioned capacity has no rule here")
        return
    for key, what, quantity in (
        ("dynamodb.write_million", "writes", usage.table_writes_million),
        ("dynamodb.read_million", "reads", usage.table_reads_million),
        ("dynamodb.gb_month", "stored", usage.table_gb),
    ):
        yield Charge(key=key, what=what, quantity=quantity, assumed=True)
    if (item.inputs.get("pointInTimeRecovery") or {}).get("enabled") is True:
        yield Charge(
            key="dynamodb.pitr.gb_month", what="point-in-time recovery", quantity=usage.table_gb, assumed=True
        )


def bucket(_item: Item, context: Context) -> Iterator[Charge]:
    yield Charge(key="s3.standard.gb_month", what="stored", quantity=context.usage.bucket_gb, assumed=True)


def repository(_item: Item, context: Context) -> Iterator[Charge]:
    yield Charge(key="ecr.gb_month", what="images", quantity=context.usage.repository_gb, assumed=True)


def backup_plan(_item: Item, _context: Context) -> Iterator[Open]:
    yield Open(why="recovery points: billed by their size and by what the plan copies to another region")


# --- watching


def log_group(item: Item, context: Context) -> Iterator[Charge]:
    usage = context.usage
    yield Charge(key="cloudwatch.logs.ingested_gb", what="written", quantity=usage.log_gb, assumed=True)
    # Without a retention it grows for ever; a year of it is the least that can be said.
    days = Decimal(item.number("retentionInDays") or 365)
    kept = usage.log_gb * usage.log_compression * days / DAYS_PER_MONTH
    yield Charge(key="cloudwatch.logs.stored_gb_month", what="kept", quantity=kept, assumed=True)


def alarm(item: Item, _context: Context) -> Iterator[Charge]:
    """By the metrics that it looks at; expressions are none."""
    queries = [q for q in item.inputs.get("metricQueries") or [] if isinstance(q, Mapping)]
    metrics = [query["metric"] for query in queries if query.get("metric")]
    periods = [number(metric.get("period")) for metric in metrics] or [item.number("period")]
    fast = any(period is not None and period < HIGH_RESOLUTION_SECONDS for period in periods)
    key = "cloudwatch.alarm.high_resolution.metric_month" if fast else "cloudwatch.alarm.metric_month"
    yield Charge(key=key, what="metrics", quantity=Decimal(max(len(metrics), 1)))


def topic(_item: Item, _context: Context) -> Iterator[Charge | Open]:
    yield Open(why="messages: some thousands a month are included")


RULES: Mapping[str, Rule] = {
    "aws:lb/loadBalancer:LoadBalancer": load_balancer,
    "aws:ec2/natGateway:NatGateway": nat_gateway,
    "aws:ec2/eip:Eip": address,
    "aws:ec2/vpcEndpoint:VpcEndpoint": endpoint,
    SERVICE: service,
    "aws:ecs/cluster:Cluster": cluster,
    INSTANCE: database,
    "aws:dynamodb/table:Table": table,
    "aws:s3/bucket:Bucket": bucket,
    "aws:ecr/repository:Repository": repository,
    "aws:backup/plan:Plan": backup_plan,
    "aws:cloudwatch/logGroup:LogGroup": log_group,
    "aws:cloudwatch/metricAlarm:MetricAlarm": alarm,
    "aws:cloudwatch/dashboard:Dashboard": _monthly("cloudwatch.dashboard.month", "dashboard"),
    "aws:kms/key:Key": _monthly("kms.key.month", "key"),
    "aws:secretsmanager/secret:Secret": _monthly("secretsmanager.secret.month", "secret"),
    "aws:sns/topic:Topic": topic,
}

# What AWS has no charge for by itself. Everything else is unpriced until it has a rule.
FREE = frozenset(
    {
        "aws:appautoscaling/policy:Policy",
        SCALING_TARGET,
        "aws:backup/selection:Selection",
        # Its recovery points are billed, and stand with the plan that makes them.
        "aws:backup/vault:Vault",
        "aws:backup/vaultLockConfiguration:VaultLockConfiguration",
        "aws:backup/vaultNotifications:VaultNotifications",
        "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl",
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        # What it writes is billed at its log group.
        "aws:ec2/flowLog:FlowLog",
        "aws:ec2/internetGateway:InternetGateway",
        "aws:ec2/route:Route",
        "aws:ec2/routeTable:RouteTable",
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:ec2/subnet:Subnet",
        "aws:ec2/vpc:Vpc",
        "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation",
        "aws:ecr/lifecyclePolicy:LifecyclePolicy",
        "aws:ecr/repositoryPolicy:RepositoryPolicy",
        "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders",
        TASK,
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
        "aws:iam/policy:Policy",
        "aws:iam/role:Role",
        "aws:iam/rolePolicy:RolePolicy",
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "aws:kms/alias:Alias",
        # Billed with the load balancer, by its capacity units.
        "aws:lb/listener:Listener",
        "aws:lb/listenerRule:ListenerRule",
        "aws:lb/targetGroup:TargetGroup",
        "aws:rds/eventSubscription:EventSubscription",
        "aws:rds/parameterGroup:ParameterGroup",
        "aws:rds/subnetGroup:SubnetGroup",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketVersioning:BucketVersioning",
        "aws:sns/topicPolicy:TopicPolicy",
        "aws:sns/topicSubscription:TopicSubscription",
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    }
)
