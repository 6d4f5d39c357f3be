"""What a stack's Pulumi outputs tell of the things that a release acts on. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.colours import COLOURS, Colour
from release.errors import Refused


@dataclass(frozen=True, kw_only=True)
class ServiceParts:
    """One service.

    production_rule, test_rule: ARNs of its listener rules.
    target_groups: ARN by colour.
    ecs_services: name by colour.
    alarms: names by colour.
    """

    production_rule: str
    test_rule: str
    target_groups: Mapping[Colour, str]
    ecs_services: Mapping[Colour, str]
    alarms: Mapping[Colour, Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class StackParts:
    """One stack, as `infra/platform.py` exports it.

    images_path: SSM path of the images, `/<project>/<stack>/images`.
    databases: RDS identifier by the database's name in the settings.
    """

    region: str
    production_url: str
    test_url: str
    cluster: str
    release_table: str
    images_path: str
    alerts_topic: str
    databases: Mapping[str, str]
    services: Mapping[str, ServiceParts]

    @property
    def name_prefix(self) -> str:
        """First part of the stack's physical names, `<project>-<stack>`."""
        _, project, stack, *_ = self.images_path.split("/")
        return f"{project}-{stack}"

    @property
    def account(self) -> str:
        """The account that the stack's listener rules are in."""
        return self._rule_arn[4]

    @property
    def partition(self) -> str:
        """`aws`, or that of another kind of AWS region."""
        return self._rule_arn[1]

    @property
    def _rule_arn(self) -> list[str]:
        return next(iter(self.services.values())).production_rule.split(":")

    def service(self, name: str) -> ServiceParts:
        """One service. Raises Refused for one that the stack does not have."""
        if name not in self.services:
            have = ", ".join(sorted(self.services)) or "none"
            raise Refused(f"the stack has no service {name}; it has: {have}")
        return self.services[name]


def parts(outputs: Mapping[str, Any]) -> StackParts:
    """The stack's parts out of its outputs. Raises Refused where some are missing: it is not up."""
    try:
        if not outputs["services"]:
            raise KeyError("services")  # noqa: TRY301 - told like any other that is missing
        return StackParts(
            **{name: outputs[name] for name in _PLAIN},
            databases=dict(outputs["databases"]),
            services={name: _service(found) for name, found in outputs["services"].items()},
        )
    except (KeyError, TypeError) as error:
        raise Refused(
            f"the stack's outputs do not tell what a release acts on ({error}): it was never brought up, or "
            "by an older program; run `pulumi up` first"
        ) from None


_PLAIN = (
    "region",
    "production_url",
    "test_url",
    "cluster",
    "release_table",
    "images_path",
    "alerts_topic",
)


def _service(found: Mapping[str, Any]) -> ServiceParts:
    return ServiceParts(
        production_rule=found["production_rule"],
        test_rule=found["test_rule"],
        target_groups={colour: found["target_groups"][colour] for colour in COLOURS},
        ecs_services={colour: found["ecs_services"][colour] for colour in COLOURS},
        alarms={colour: tuple(found["alarms"][colour]) for colour in COLOURS},
    )
