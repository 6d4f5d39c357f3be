"""How much of everything is used in a month, where the program does not say it: assumptions, by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal

from infra.settings import Settings

# AWS's own calculators take so many.
HOURS_PER_MONTH = Decimal(730)
DAYS_PER_MONTH = Decimal(30)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What is assumed of a month.

    tasks: running tasks by service, all day; the idle colour runs none. Without an entry: the least that
        autoscaling keeps.
    lcus: load balancer capacity units in use, on average.
    nat_gb: through each NAT gateway. endpoint_gb: through each interface endpoint.
    log_gb: written to each log group; what is stored of it is `log_compression` of it.
    database_fill: how much of a database's storage its snapshots hold, and how much of that changes in a day.
    bucket_gb, repository_gb, table_gb: stored in each.
    table_writes_million, table_reads_million: of each table on demand.
    """

    tasks: Mapping[str, int] = field(default_factory=dict)
    lcus: Decimal = Decimal(1)
    nat_gb: Decimal = Decimal(50)
    endpoint_gb: Decimal = Decimal(10)
    log_gb: Decimal = Decimal(5)
    log_compression: Decimal = Decimal("0.15")
    database_fill: Decimal = Decimal("0.5")
    database_change_per_day: Decimal = Decimal("0.02")
    bucket_gb: Decimal = Decimal(10)
    repository_gb: Decimal = Decimal(5)
    table_gb: Decimal = Decimal(1)
    table_writes_million: Decimal = Decimal("0.1")
    table_reads_million: Decimal = Decimal("0.5")

    def named(self) -> dict[str, str]:
        """Every assumption by its name, to be shown beside an estimate."""
        told = {f.name: str(getattr(self, f.name)) for f in fields(self) if f.name != "tasks"}
        return {**{f"tasks of {name}": str(count) for name, count in sorted(self.tasks.items())}, **told}


def of_settings(settings: Settings) -> Usage:
    """The usual assumptions, with the least number of tasks that the stack's settings keep running."""
    return Usage(tasks={name: service.count.minimum for name, service in settings.services.items()})
