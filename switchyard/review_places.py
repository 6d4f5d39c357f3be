"""Where review stacks live: the accounts of the base stacks, and what is recorded there.

The record of a stack is the SSM parameter `/<project>/review/<stack>`. It is written before the stack's first
resource and deleted after its last one, so that no crash can leave a stack that nobody knows of.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from infra.account import NoAccount
from infra.settings import Settings
from localcloud.errors import CloudError
from localcloud.paths import PROJECT
from review.ephemeral import NotReviewable, Record, number_of, parse
from switchyard import stacks
from switchyard.errors import SwitchyardError

# What DeleteParameters takes in one call.
DELETED_AT_ONCE = 10
# ECS never deletes these for good; they run nothing and cost nothing.
LINGERING = (":task-definition/",)
KEY = ":key/"


class OutOfReach(SwitchyardError):
    """The credentials at hand do not lead to the account of a base stack."""


@dataclass(frozen=True)
class Place:
    """The account and region of a base stack.

    base, settings: the base stack.
    environment: what clients need to get there, beside the shell's own variables.
    """

    base: str
    settings: Settings
    environment: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What two base stacks share that live in one place."""
        return self.settings.accounts[0], self.settings.region, self.environment.get("AWS_ENDPOINT_URL")

    @cached_property
    def project(self) -> str:
        """The project's name."""
        return stacks.project_name()

    @cached_property
    def path(self) -> str:
        """Where the records are."""
        return f"/{self.project}/review"

    def client(self, service: str) -> Any:
        """A client for the place."""
        make: Any = stacks.session_of(self.environment, self.settings.region).client
        return make(service, endpoint_url=self.environment.get("AWS_ENDPOINT_URL"))

    @cached_property
    def _ssm(self) -> Any:
        return self.client("ssm")

    # --- records

    def texts(self) -> dict[str, str]:
        """Every record's text by what its name says is the stack. Whatever else is below the path too."""
        return {name.removeprefix(f"{self.path}/"): text for name, text in self._below(f"{self.path}/")}

    def record(self, stack: str) -> Record | None:
        """The stack's record, None where there is none. Raises NotReviewable if it can't be read."""
        try:
            text = self._ssm.get_parameter(Name=f"{self.path}/{stack}")["Parameter"]["Value"]
        except self._ssm.exceptions.ParameterNotFound:
            return None
        return parse(stack, text)

    def readable_record(self, stack: str) -> Record | None:
        """The stack's record; one that can't be read is as good as none to whoever writes or deletes it."""
        with suppress(NotReviewable):
            return self.record(stack)
        return None

    def write(self, record: Record) -> None:
        """Writes the record, over an older one."""
        name = f"{self.path}/{record.stack}"
        self._ssm.put_parameter(Name=name, Value=record.text(), Type="String", Overwrite=True)

    def forget(self, stack: str) -> None:
        """Deletes the record, if there is one."""
        with suppress(self._ssm.exceptions.ParameterNotFound):
            self._ssm.delete_parameter(Name=f"{self.path}/{stack}")

    def forget_images(self, stack: str) -> None:
        """Deletes what releases wrote of a review stack's images. Refuses every other stack."""
        if number_of(stack) is None:
            raise NotReviewable(f"{stack} is no review stack: allowed are pr-1 and so on")
        names = [name for name, _ in self._below(f"/{self.project}/{stack}/")]
        for start in range(0, len(names), DELETED_AT_ONCE):
            self._ssm.delete_parameters(Names=names[start : start + DELETED_AT_ONCE])

    def _below(self, path: str) -> Iterator[tuple[str, str]]:
        pages = self._ssm.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
        for page in pages:
            for parameter in page["Parameters"]:
                yield parameter["Name"], parameter["Value"]

    # --- what is there

    def networks_in_use(self, stack: str) -> list[IPv4Network]:
        """What a stack's network may not overlap: networks of the account's VPCs, of all stacks with a
        settings file, of other review stacks, and what the base stack reserves. Its own is not in it."""
        found = [*self.settings.network.reserved_cidrs, *_written_networks(stack)]
        found += self.recorded_networks(stack)
        for page in self.client("ec2").get_paginator("describe_vpcs").paginate():
            for vpc in page["Vpcs"]:
                tags = {tag["Key"]: tag["Value"] for tag in vpc.get("Tags", [])}
                if (tags.get("project"), tags.get("stack")) != (self.project, stack):
                    found += [IPv4Network(part["CidrBlock"]) for part in vpc["CidrBlockAssociationSet"]]
        return found

    def recorded_networks(self, stack: str) -> list[IPv4Network]:
        """The networks of all other review stacks' records; one that can't be read reserves nothing."""
        found = []
        for other, text in self.texts().items():
            with suppress(NotReviewable):
                found += [parse(other, text).cidr] if other != stack else []
        return found

    def leftovers(self, stack: str) -> list[str]:
        """ARNs of all that carries the stack's tags and is not on its way out."""
        tags = [{"Key": "project", "Values": [self.project]}, {"Key": "stack", "Values": [stack]}]
        pages = self.client("resourcegroupstaggingapi").get_paginator("get_resources")
        found = [
            entry["ResourceARN"]
            for page in pages.paginate(TagFilters=tags)
            for entry in page["ResourceTagMappingList"]
        ]
        living = [arn for arn in found if not any(part in arn for part in LINGERING)]
        return [arn for arn in living if KEY not in arn or self._key_lives(arn)]

    def _key_lives(self, arn: str) -> bool:
        state = self.client("kms").describe_key(KeyId=arn)["KeyMetadata"]["KeyState"]
        return state not in ("PendingDeletion", "PendingReplicaDeletion")


def place_of(base: str) -> Place:
    """The place of a base stack. Raises OutOfReach, and SwitchyardError for a base that is none."""
    if number_of(base) is not None:
        raise SwitchyardError(
            f"{base} is a review stack itself; name a stack with a file of its own as --base"
        )
    settings = stacks.settings_of(base)
    if settings.environment == "prod":
        raise SwitchyardError(
            f"stack {base} is of environment prod: a review stack would live in production's account. "
            "Allowed as --base are stacks of local, dev and staging"
        )
    try:
        place = Place(base, settings, stacks.environment_of(base))
        account = stacks.account_at_hand(place.environment, settings.region)
    except (NoAccount, CloudError) as error:
        raise OutOfReach(f"the account of stack {base} can't be reached: {error}") from error
    if account not in settings.accounts:
        raise OutOfReach(
            f"stack {base} may be in account {' or '.join(settings.accounts)}, and these credentials are of "
            f"{account}: sign in there, or name another --base"
        )
    return place


def file_of(stack: str) -> Path:
    """The stack's settings file."""
    return PROJECT / f"Pulumi.{stack}.yaml"


def settings_files() -> list[Path]:
    """The settings files of all stacks, sorted."""
    return sorted(PROJECT.glob("Pulumi.*.yaml"))


def bases() -> list[str]:
    """The stacks that review stacks can be derived from, by their files; those with mistakes too."""
    names = [path.name.split(".")[1] for path in settings_files()]
    return [name for name in names if number_of(name) is None and in_file(name, "environment") != "prod"]


def in_file(stack: str, key: str) -> Any:
    """What the stack's file has at a key of the settings, right or wrong; None where there is nothing."""
    return _written(stack).get(f"switchyard:{key}")


def _written_networks(stack: str) -> Iterator[IPv4Network]:
    for path in settings_files():
        name = path.name.split(".")[1]
        network = in_file(name, "network") if name != stack else None
        with suppress(ValueError, TypeError, KeyError):
            yield IPv4Network((network or {})["cidr"])


def _written(stack: str) -> Mapping[str, Any]:
    """A file's settings as they are written: another stack's mistakes must not stop this one."""
    with suppress(yaml.YAMLError, ValueError, OSError):
        content = yaml.safe_load(file_of(stack).read_text())
        config = content.get("config") if isinstance(content, dict) else None
        return config if isinstance(config, dict) else {}
    return {}
