"""RDS: what an instance, a replica and a parameter group were given; event subscriptions change."""

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.moto_api._internal import mock_random
from moto.rds.exceptions import DBParameterGroupNotFoundError, SubscriptionNotFoundError
from moto.rds.models import DBInstance, RDSBackend

# What AWS gives to a new instance; moto's name for it makes the provider modify every one.
CERTIFICATE_AUTHORITY = "rds-ca-rsa2048-g1"
# What AWS keeps of Performance Insights where nothing else is asked for: the free tier.
INSIGHTS_DAYS = 7
# A modification sets each by its name; moto's constructor drops them.
INSIGHTS = (
    "enable_performance_insights",
    "performance_insights_kms_key_id",
    "performance_insights_retention_period",
)


def with_what_it_was_given(create: Callable[..., None]) -> Callable[..., None]:
    """DBInstance's constructor. The id is its own: moto gives one to all, and the provider looks by it."""

    def constructor(self: DBInstance, *args: Any, **kwargs: Any) -> None:
        kwargs["ca_certificate_identifier"] = kwargs.get("ca_certificate_identifier") or CERTIFICATE_AUTHORITY
        create(self, *args, **kwargs)
        self.dbi_resource_id = _new_id()
        _set_insights(self, kwargs)

    return constructor


def as_an_instance_of_its_own(create: Callable[..., DBInstance]) -> Callable[..., DBInstance]:
    """RDSBackend.create_db_instance_read_replica; moto makes a shallow copy of the source.

    What a replica does not take from its source is its id, its tags, its logs, its Performance Insights,
    its backups, and the secret of the master user: with a copy of that, a deleted replica took it along.
    """

    def create_db_instance_read_replica(self: RDSBackend, given: Any) -> DBInstance:
        replica = create(self, given)
        replica.dbi_resource_id = _new_id()
        replica.tags = given.get("tags") or []
        replica.enabled_cloudwatch_logs_exports = given.get("enable_cloudwatch_logs_exports") or []
        replica.backup_retention_period = given.get("backup_retention_period") or 0
        _set_insights(replica, given)
        replica.manage_master_user_password = False
        vars(replica).pop("master_user_secret", None)
        return replica

    return create_db_instance_read_replica


def performance_insights_enabled(instance: Any) -> bool:
    """Under this name in answers; requests say `EnablePerformanceInsights`."""
    return bool(instance.enable_performance_insights)


def performance_insights_days(instance: Any) -> int | None:
    """As given; AWS has a period of its own for insights that are turned on without one."""
    given: int | None = instance.performance_insights_retention_period
    return INSIGHTS_DAYS if given is None and instance.enable_performance_insights else given


def _set_insights(instance: Any, given: Any) -> None:
    for name in INSIGHTS:
        setattr(instance, name, given.get(name))


def _new_id() -> str:
    return "db-" + mock_random.get_random_string(length=26).upper()


def with_one_secret(update: Callable[..., None]) -> Callable[..., None]:
    """DBInstance.update; moto makes another secret, and forgets the first, for a password that it manages."""

    def changed(self: DBInstance, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("manage_master_user_password") and hasattr(self, "master_user_secret"):
            del kwargs["manage_master_user_password"]
        update(self, *args, **kwargs)

    return changed


class Models(RDSBackend):
    """Changes of event subscriptions and parameter groups."""

    def modify_event_subscription(self, name: str, changes: dict[str, Any]) -> Any:
        """The subscription with what is given changed. Raises SubscriptionNotFoundError."""
        if name not in self.event_subscriptions:
            raise SubscriptionNotFoundError(name)
        subscription = self.event_subscriptions[name]
        for attribute in ("sns_topic_arn", "source_type", "event_categories", "enabled"):
            if changes.get(attribute) is not None:
                setattr(subscription, attribute, changes[attribute])
        return subscription

    def add_source_identifier_to_subscription(self, name: str, source: str) -> Any:
        """The subscription with one more source."""
        subscription = self.modify_event_subscription(name, {})
        subscription.source_ids = sorted({*subscription.source_ids, source})
        return subscription

    def remove_source_identifier_from_subscription(self, name: str, source: str) -> Any:
        """The subscription with one source less."""
        subscription = self.modify_event_subscription(name, {})
        subscription.source_ids = [kept for kept in subscription.source_ids if kept != source]
        return subscription

    def reset_db_parameter_group(self, name: str, parameters: list[str] | None) -> Any:
        """The group without these parameters; without any, where none are named."""
        group = self._parameter_group(name)
        for parameter in list(group.parameters) if parameters is None else parameters:
            group.parameters.pop(parameter, None)
        return group

    def list_user_parameters(self, name: str) -> list[dict[str, Any]]:
        """What was set in a parameter group. Raises DBParameterGroupNotFoundError."""
        return [
            {**parameter, "Source": "user"} for parameter in self._parameter_group(name).parameters.values()
        ]

    def _parameter_group(self, name: str) -> Any:
        found = self.describe_db_parameter_groups({"db_parameter_group_name": name})
        if not found:
            raise DBParameterGroupNotFoundError(name)
        return found[0]


class Responses:
    """The actions, one method each, as moto names them."""

    # What moto's own class has: set here for the type checker.
    backend: Any
    params: dict[str, Any]

    def modify_event_subscription(self) -> ActionResult:
        name = self.params["SubscriptionName"]
        return ActionResult({"EventSubscription": self.backend.modify_event_subscription(name, self.params)})

    def add_source_identifier_to_subscription(self) -> ActionResult:
        return self._sources(self.backend.add_source_identifier_to_subscription)

    def remove_source_identifier_from_subscription(self) -> ActionResult:
        return self._sources(self.backend.remove_source_identifier_from_subscription)

    def describe_db_parameters(self) -> ActionResult:
        """moto knows no defaults of engines: all that it has was set by a user."""
        found = self.backend.list_user_parameters(self.params["DBParameterGroupName"])
        return ActionResult({"Parameters": found if self.params.get("Source") in (None, "user") else []})

    def reset_db_parameter_group(self) -> ActionResult:
        named = [parameter["ParameterName"] for parameter in self.params.get("Parameters") or []]
        name = self.params["DBParameterGroupName"]
        group = self.backend.reset_db_parameter_group(
            name, None if self.params.get("ResetAllParameters") else named
        )
        return ActionResult({"DBParameterGroupName": group.name})

    def _sources(self, change: Callable[[str, str], Any]) -> ActionResult:
        changed = change(self.params["SubscriptionName"], self.params["SourceIdentifier"])
        return ActionResult({"EventSubscription": changed})
