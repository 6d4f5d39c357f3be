"""Every key that a Pulumi.<stack>.yaml may hold, under `config:` with the prefix `switchyard:`.

A key's description is what an error message says is allowed. Nothing specific to an environment has a
default. Rules that look at several keys at once are in infra/rules.py.
"""

from datetime import date
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Environment = Literal["local", "dev", "staging", "prod"]
Name = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9-]{0,18}[a-z0-9]$",
        description="2 to 20 lower-case letters, digits and hyphens, starting with a letter",
    ),
]
Days = Annotated[int, Field(ge=1, le=3653, description="whole days, 1 to 3653")]
# CloudWatch Logs keeps for these numbers of days and no others (PutRetentionPolicy).
LogDays = Annotated[
    Literal[
        1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3653
    ],
    Field(description="days that CloudWatch Logs offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 180, 365, 400 …"),
]
Percent = Annotated[float, Field(gt=0, le=100, description="a percentage above 0, up to 100")]
Cidr = Annotated[IPv4Network, Field(description="an IPv4 network without host bits, such as 10.1.0.0/16")]
Cron = Annotated[
    str,
    Field(pattern=r"^cron\(\S+( \S+){5}\)$", description="an AWS schedule of six fields: cron(0 3 * * ? *)"),
]


REFERENCE_TO_A_VALUE = (
    r"^(arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:\S+|[a-z0-9][a-z0-9/_-]{0,127})$"
)


class Strict(BaseModel):
    """Frozen, and no key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=False)

    @field_validator("*", mode="before")
    @classmethod
    def _a_boolean_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        if isinstance(value, bool) and field.annotation is not bool:
            raise ValueError(field.description or "a block of keys and values")
        return value


class NetworkSettings(Strict):
    """The VPC of the stack."""

    cidr: Annotated[IPv4Network, Field(description="a private IPv4 network of /16 to /22")]
    zones: Annotated[list[str], Field(min_length=2, max_length=3, description="2 or 3 zones of the region")]
    nat: Annotated[Literal["per-zone", "single"], Field(description="per-zone or single")]
    interface_endpoints: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z0-9.-]+$", description="a service name such as ecr.api")]],
        Field(description="AWS services to be reached without the internet, such as ecr.api, logs, kms"),
    ]
    reserved_cidrs: Annotated[
        list[Cidr], Field(description="networks that this one must be able to reach, so may not overlap")
    ] = []
    flow_log_retention_days: LogDays


class EdgeSettings(Strict):
    """The load balancer."""

    protocol: Annotated[Literal["http", "https"], Field(description="http (local and dev only) or https")]
    certificate_arn: Annotated[
        str | None,
        Field(
            pattern=r"^arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/\S+$",
            description="the ARN of an ACM certificate in the stack's region",
        ),
    ] = None
    ingress_cidrs: Annotated[
        list[Cidr], Field(min_length=1, description="networks that may reach production; 0.0.0.0/0 for all")
    ]
    test_port: Annotated[int, Field(ge=1024, le=65535, description="a port from 1024 to 65535")]
    test_ingress_cidrs: Annotated[
        list[Cidr], Field(description="networks that may reach the test listener; never 0.0.0.0/0")
    ] = []
    idle_timeout_seconds: Annotated[int, Field(ge=1, le=4000, description="1 to 4000 seconds")]
    access_log_retention_days: Days
    deletion_protection: Annotated[bool, Field(description="true or false")]


class CountSettings(Strict):
    """How many tasks of a colour run."""

    minimum: Annotated[int, Field(ge=1, le=1000, description="1 to 1000 tasks")]
    maximum: Annotated[int, Field(ge=1, le=1000, description="the minimum to 1000 tasks")]


class ScalingSettings(Strict):
    """What autoscaling aims at."""

    cpu_percent: Percent
    requests_per_target_per_minute: Annotated[int, Field(ge=1, description="a whole number of requests")]


class HealthCheckSettings(Strict):
    """How the load balancer asks a task whether it is well."""

    path: Annotated[str, Field(pattern=r"^/\S*$", description="a path that starts with /")]
    interval_seconds: Annotated[int, Field(ge=5, le=300, description="5 to 300 seconds")]
    timeout_seconds: Annotated[int, Field(ge=2, le=120, description="2 to 120 seconds, below the interval")]
    healthy_threshold: Annotated[int, Field(ge=2, le=10, description="2 to 10 answers")]
    unhealthy_threshold: Annotated[int, Field(ge=2, le=10, description="2 to 10 answers")]
    matcher: Annotated[
        str,
        Field(pattern=r"^[2-4]\d\d([,-][2-4]\d\d)*$", description='status codes such as "200" or "200-299"'),
    ] = "200"
    grace_seconds: Annotated[int, Field(ge=0, le=7200, description="0 to 7200 seconds")]


class RouteSettings(Strict):
    """Which requests are the service's. ALB allows five values in one rule."""

    priority: Annotated[int, Field(ge=1, le=50000, description="1 to 50000, another one for each service")]
    hosts: Annotated[list[str], Field(max_length=5, description="up to 5 host names")] = []
    paths: Annotated[
        list[Annotated[str, Field(pattern=r"^/", description="a path pattern that starts with /")]],
        Field(max_length=5, description="up to 5 path patterns such as /api/*"),
    ] = []


class SmokeCheckSettings(Strict):
    """A request to the idle colour, and what its answer has to be."""

    path: Annotated[str, Field(pattern=r"^/\S*$", description="a path that starts with /")]
    method: Annotated[Literal["GET", "HEAD", "POST"], Field(description="GET, HEAD or POST")] = "GET"
    status: Annotated[int, Field(ge=100, le=599, description="a status code, 100 to 599")] = 200
    body_contains: Annotated[str | None, Field(description="text that the body has to contain")] = None
    headers: Annotated[
        dict[str, str], Field(description="header name and the value that the answer has to have")
    ] = {}
    max_seconds: Annotated[float, Field(gt=0, le=60, description="above 0, up to 60 seconds")] = 5


class CheckSettings(Strict):
    """Something of the user's own that judges a release at each step: a URL or a command."""

    name: Name
    url: Annotated[
        str | None, Field(pattern=r"^https?://\S+$", description="a URL that answers 2xx while all is well")
    ] = None
    command: Annotated[
        list[str] | None, Field(min_length=1, description="a program and its arguments; status 0 is well")
    ] = None
    timeout_seconds: Annotated[int, Field(ge=1, le=600, description="1 to 600 seconds")] = 30


class MigrationSettings(Strict):
    """The one-off task that changes the schema, on the release's own digest, before anything scales."""

    command: Annotated[list[str], Field(min_length=1, description="a program of the image and its arguments")]
    plan_command: Annotated[
        list[str],
        Field(
            min_length=1,
            description="a program of the image that prints what the command would do, as JSON",
        ),
    ]
    timeout_seconds: Annotated[int, Field(ge=1, le=14400, description="1 to 14400 seconds")] = 900


class ServiceSettings(Strict):
    """A container service, in two colours."""

    image_repository: Annotated[
        str,
        Field(
            # A registry may have a port; a tag would follow the repository.
            pattern=r"^([a-z0-9][a-z0-9.-]*(:\d{1,5})?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*$",
            description="the name of a repository that the stack makes, or the address of another; no tag",
        ),
    ]
    port: Annotated[int, Field(ge=1, le=65535, description="a port from 1 to 65535")]
    cpu: Annotated[
        int, Field(description="CPU units that Fargate offers: 256, 512, 1024, 2048, 4096, 8192, 16384")
    ]
    memory_mib: Annotated[int, Field(description="MiB that Fargate offers for this CPU")]
    architecture: Annotated[Literal["X86_64", "ARM64"], Field(description="X86_64 or ARM64")] = "X86_64"
    count: CountSettings
    scaling: ScalingSettings
    health_check: HealthCheckSettings
    route: RouteSettings
    database: Annotated[Name | None, Field(description="the name of one of the stack's databases")] = None
    environment: Annotated[
        dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="a variable name")], str],
        Field(description="plain values by variable name"),
    ] = {}
    secrets: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="a variable name")],
            Annotated[
                str,
                Field(
                    pattern=REFERENCE_TO_A_VALUE,
                    description="the name of a secret that the stack makes, or an ARN; never its value",
                ),
            ],
        ],
        Field(description="secret names or ARNs by variable name"),
    ] = {}
    writable_paths: Annotated[
        list[Annotated[str, Field(pattern=r"^/\S+$", description="an absolute path")]],
        Field(description="absolute paths that the container may write to; all else is read-only"),
    ] = []
    user: Annotated[
        str,
        Field(
            pattern=r"^[1-9]\d*(:[1-9]\d*)?$", description="a numeric user that is not root, such as 10001"
        ),
    ] = "10001"
    longest_request_seconds: Annotated[int, Field(ge=1, le=120, description="1 to 120 seconds")]
    stop_timeout_seconds: Annotated[
        int, Field(ge=2, le=120, description="2 to 120 seconds, no less than longest_request_seconds")
    ]
    deregistration_delay_seconds: Annotated[
        int, Field(ge=0, le=3600, description="0 to 3600 seconds, no less than longest_request_seconds")
    ]
    slow_start_seconds: Annotated[
        int, Field(ge=0, le=900, description="0 for none, or 30 to 900 seconds")
    ] = 0
    stickiness_seconds: Annotated[
        int | None, Field(ge=1, le=604800, description="1 to 604800 seconds, no longer than the bake")
    ] = None
    execute_command: Annotated[bool, Field(description="true or false")] = False
    smoke: Annotated[
        list[SmokeCheckSettings], Field(description="requests that a new version has to answer rightly")
    ] = []
    smoke_command: Annotated[
        list[str] | None,
        Field(min_length=1, description="a program and its arguments; it finds the address in TEST_URL"),
    ] = None
    checks: Annotated[list[CheckSettings], Field(description="judges of a release at each step")] = []
    migrations: Annotated[
        MigrationSettings | None, Field(description="the schema's one-off task; none: there is none")
    ] = None


class DatabaseSettings(Strict):
    """A PostgreSQL database on RDS."""

    engine_version: Annotated[
        str, Field(pattern=r"^1[3-9](\.\d+)?$", description="PostgreSQL 13 to 19, such as 16.4")
    ]
    instance_class: Annotated[
        str, Field(pattern=r"^db\.[a-z0-9]+\.[a-z0-9]+$", description="such as db.t4g.medium")
    ]
    database_name: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9_]{0,62}$", description="lower-case letters, digits and _, from a letter"
        ),
    ]
    allocated_storage_gib: Annotated[int, Field(ge=20, le=65536, description="20 to 65536 GiB")]
    max_allocated_storage_gib: Annotated[
        int,
        Field(ge=22, le=65536, description="at least a tenth more than allocated_storage_gib, up to 65536"),
    ]
    multi_az: Annotated[bool, Field(description="true or false; true in prod")]
    read_replicas: Annotated[int, Field(ge=0, le=5, description="0 to 5")] = 0
    backup_retention_days: Annotated[int, Field(ge=1, le=35, description="1 to 35 days; at least 7 in prod")]
    backup_window: Annotated[
        str, Field(pattern=r"^\d\d:\d\d-\d\d:\d\d$", description="UTC, such as 02:00-03:00")
    ]
    maintenance_window: Annotated[
        str,
        Field(pattern=r"^\w{3}:\d\d:\d\d-\w{3}:\d\d:\d\d$", description="UTC, such as sun:04:00-sun:05:00"),
    ]
    deletion_protection: Annotated[bool, Field(description="true or false; true in prod")]
    skip_final_snapshot: Annotated[bool, Field(description="true or false; false in prod")] = False
    performance_insights_retention_days: Annotated[
        int, Field(description="7, 731, or a multiple of 31 up to 713 days")
    ]
    monitoring_interval_seconds: Annotated[
        Literal[1, 5, 10, 15, 30, 60], Field(description="1, 5, 10, 15, 30 or 60 seconds")
    ]
    max_connections_alarm: Annotated[int, Field(ge=1, description="a number of connections")]
    backup_tier: Annotated[Name, Field(description="the name of one of the stack's backup tiers")]


class AlarmSettings(Strict):
    """When an operator is called."""

    error_rate_percent: Percent
    latency_p99_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False, description="seconds, above 0")]
    cpu_percent: Percent
    memory_percent: Percent
    free_storage_gib: Annotated[int, Field(ge=1, description="whole GiB")]
    replica_lag_seconds: Annotated[int, Field(ge=1, description="whole seconds")]
    period_seconds: Annotated[Literal[10, 30, 60, 300], Field(description="10, 30, 60 or 300 seconds")]
    evaluation_periods: Annotated[int, Field(ge=1, le=60, description="1 to 60 periods")]


class MonitoringSettings(Strict):
    """Logs, alarms and who hears of them."""

    log_retention_days: LogDays
    emails: Annotated[
        list[Annotated[str, Field(pattern=r"^\S+@\S+\.\S+$", description="an email address")]],
        Field(description="email addresses that alarms go to"),
    ] = []
    alarms: AlarmSettings


class BackupTierSettings(Strict):
    """How often, and for how long."""

    schedule: Cron
    retention_days: Days
    cold_storage_after_days: Annotated[
        int | None, Field(ge=1, description="days, at least 90 before the end of the retention")
    ] = None
    continuous: Annotated[bool, Field(description="true or false: restore to any second")] = False


class LockSettings(Strict):
    """What a vault refuses to everyone."""

    min_retention_days: Days
    max_retention_days: Days
    changeable_for_days: Annotated[
        int | None,
        Field(
            ge=3,
            description="absent for a lock that an administrator can lift; 3 or more: nobody can, ever",
        ),
    ] = None


class BackupSettings(Strict):
    """AWS Backup for everything that carries a tier's tag."""

    tiers: Annotated[
        dict[Name, BackupTierSettings], Field(min_length=1, description="at least one tier by name")
    ]
    lock: LockSettings
    copy_region: Annotated[
        str | None,
        Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="another AWS region; must be given in prod"),
    ] = None


class FreezeSettings(Strict):
    """A time in which no release may start. A stage that runs when it begins is finished."""

    reason: Annotated[str, Field(min_length=1, description="why, for whoever is refused")]
    starts: Annotated[AwareDatetime, Field(description="a time with its zone, such as 2026-12-20T00:00:00Z")]
    ends: Annotated[AwareDatetime, Field(description="a time with its zone, after the start")]


class WeeklyFreezeSettings(Strict):
    """A time of each week in which no release may start, such as the weekend."""

    reason: Annotated[str, Field(min_length=1, description="why, for whoever is refused")]
    days: Annotated[
        list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]],
        Field(min_length=1, description="days of the week: mon, tue, wed, thu, fri, sat, sun"),
    ]
    from_hour: Annotated[int, Field(ge=0, le=23, description="0 to 23, the first hour that is frozen")] = 0
    to_hour: Annotated[int, Field(ge=1, le=24, description="1 to 24, the first hour that is not")] = 24
    timezone: Annotated[str, Field(description="a zone of the IANA database, such as Europe/Berlin")] = "UTC"


class AnalysisSettings(Strict):
    """When the new colour counts as worse than the old one over the same minutes."""

    minimum_requests: Annotated[
        int, Field(ge=1, description="requests that each colour needs before anything is concluded")
    ]
    confidence_percent: Annotated[
        float, Field(ge=80, lt=100, description="80 to below 100; how sure a difference has to be")
    ] = 95
    max_error_rate_increase_percent: Annotated[
        float, Field(ge=0, le=100, description="percentage points of failed requests that are tolerated")
    ]
    max_latency_increase_percent: Annotated[
        float, Field(ge=0, description="percent by which the p99 latency may grow")
    ]


class NotificationSettings(Strict):
    """Who hears of releases, beside the stack's alerts topic."""

    slack_webhook_secret: Annotated[
        str | None,
        Field(pattern=REFERENCE_TO_A_VALUE, description="name or ARN of the secret with the webhook's URL"),
    ] = None
    github_repository: Annotated[
        str | None, Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name, for deployment statuses")
    ] = None


class ReleaseSettings(Strict):
    """How a release moves traffic unless it is told otherwise, and what it has to pass."""

    strategy: Annotated[
        Literal["all-at-once", "linear", "canary"], Field(description="all-at-once, linear or canary")
    ]
    step_percent: Annotated[int, Field(ge=1, le=100, description="1 to 100")]
    every_seconds: Annotated[int, Field(ge=0, le=86400, description="0 to 86400 seconds")]
    bake_seconds: Annotated[int, Field(ge=0, le=604800, description="0 to 604800 seconds")]
    hotfix_bake_seconds: Annotated[
        int | None, Field(ge=0, le=604800, description="0 to 604800 seconds; else a tenth of the bake")
    ] = None
    healthy_timeout_seconds: Annotated[
        int, Field(ge=10, le=7200, description="10 to 7200 seconds for the idle colour to become healthy")
    ] = 900
    approval: Annotated[
        bool, Field(description="true: hold each release before it takes traffic, until it is approved")
    ] = False
    change_record: Annotated[bool, Field(description="true: a release has to name its change record")] = False
    promoted_from: Annotated[
        Name | None, Field(description="the stack in which a digest has to be proven first")
    ] = None
    soak_seconds: Annotated[
        int, Field(ge=0, le=2592000, description="0 to 2592000 seconds that a digest has to live there")
    ] = 0
    backup_max_age_hours: Annotated[
        int | None, Field(ge=1, le=744, description="1 to 744 hours, the recovery point objective")
    ] = None
    freezes: Annotated[list[FreezeSettings], Field(description="times without releases")] = []
    weekly_freezes: Annotated[list[WeeklyFreezeSettings], Field(description="hours of the week without")] = []
    analysis: Annotated[
        AnalysisSettings | None,
        Field(description="how the colours are compared; none: they are not"),
    ] = None
    notify: Annotated[NotificationSettings, Field(description="who hears of it")] = NotificationSettings()
    bootstrap_image: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}$",
            description="an image by digest (repository@sha256:…), never by tag",
        ),
    ]


class RegistrySettings(Strict):
    """The image repositories that the stack makes."""

    keep_images: Annotated[int, Field(ge=2, le=10000, description="2 to 10000 images")]
    untagged_days: Days
    pull_accounts: Annotated[
        list[Annotated[str, Field(pattern=r"^\d{12}$", description="an AWS account of 12 digits")]],
        Field(description="other AWS accounts that may pull"),
    ] = []


class WaiverSettings(Strict):
    """A control that is not kept for a while, with a reason. An expired one fails."""

    control: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+\.\d+$", description="a control such as RDS.5")]
    resource: Annotated[str, Field(min_length=1, description="a logical name; * stands for any part of it")]
    reason: Annotated[str, Field(min_length=10, description="why it can wait, in 10 characters or more")]
    expires: Annotated[
        date, Field(description='the last day in quotes, such as "2027-06-30", at most a year ahead')
    ]


class PolicySettings(Strict):
    """What the policy pack is told of this stack."""

    waivers: Annotated[list[WaiverSettings], Field(description="controls not kept for a while")] = []


class AllowanceSettings(Strict):
    """Lets a plan delete or replace one stateful resource, for a time."""

    resource: Annotated[
        str,
        Field(pattern=r"[^*?]", description="a resource's name, its URN, or a pattern of either; not only *"),
    ]
    operation: Annotated[Literal["replace", "delete"], Field(description="replace or delete")]
    reason: Annotated[str, Field(min_length=1, description="why, for whoever reviews it")]
    expires: Annotated[date, Field(description='the last day in quotes, such as "2026-12-01"')]


class Settings(Strict):
    """All of a stack."""

    environment: Annotated[Environment, Field(description="local, dev, staging or prod")]
    region: Annotated[
        str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="an AWS region such as eu-west-1")
    ]
    accounts: Annotated[
        list[
            Annotated[str, Field(pattern=r"^\d{12}$", description="an AWS account of 12 digits, in quotes")]
        ],
        Field(min_length=1, description="the AWS accounts that this stack may be deployed to"),
    ]
    permissions_boundary: Annotated[
        str | None,
        Field(
            pattern=r"^[\w+=,.@-]{1,128}$",
            description="the name of a policy of the account that limits every role of the stack",
        ),
    ] = None
    tags: Annotated[dict[str, str], Field(description="tags for every resource")]
    network: NetworkSettings
    edge: EdgeSettings
    services: Annotated[
        dict[Name, ServiceSettings], Field(min_length=1, description="at least one service by name")
    ]
    databases: Annotated[dict[Name, DatabaseSettings], Field(description="databases by name")]
    registry: RegistrySettings
    monitoring: MonitoringSettings
    backups: BackupSettings
    release: ReleaseSettings
    policy: Annotated[PolicySettings, Field(description="waivers of controls")] = PolicySettings()
    allow: Annotated[
        list[AllowanceSettings], Field(description="what a plan may delete or replace, for a time")
    ] = []

    @field_validator("tags")
    @classmethod
    def _ours_are_reserved(cls, tags: dict[str, str]) -> dict[str, str]:
        taken = sorted({"project", "stack", "managed-by"} & tags.keys())
        if taken:
            raise ValueError(f"tags without {', '.join(taken)}: the platform sets its own")
        return tags
