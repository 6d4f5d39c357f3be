"""RDS: an instance has an id of its own and today's certificate authority; event subscriptions change."""

from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.moto_api._internal import mock_random
from moto.rds.exceptions import SubscriptionNotFoundError
from moto.rds.models import DBInstance, RDSBackend

# What AWS gives to a new instance; moto's name for it makes the provider modify every one.
CERTIFICATE_AUTHORITY = "rds-ca-rsa2048-g1"


def with_its_own_id(create: Callable[..., None]) -> Callable[..., None]:
    """DBInstance's constructor; moto gives the same id to all, and the provider looks instances up by it."""

    def constructor(self: DBInstance, *args: Any, **kwargs: Any) -> None:
        kwargs["ca_certificate_identifier"] = kwargs.get("ca_certificate_identifier") or CERTIFICATE_AUTHORITY
        create(self, *args, **kwargs)
        self.dbi_resource_id = _new_id()

    return constructor


def with_a_new_id(become: Callable[[DBInstance], None]) -> Callable[[DBInstance], None]:
    """DBInstance.set_as_replica; a replica starts as a copy of its source."""

    def set_as_replica(self: DBInstance) -> None:
        become(self)
        self.dbi_resource_id = _new_id()

    return set_as_replica


def _new_id() -> str:
    return "db-" + mock_random.get_random_string(length=26).upper()


class Models(RDSBackend):
    """Changes of event subscriptions."""

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

    def _sources(self, change: Callable[[str, str], Any]) -> ActionResult:
        changed = change(self.params["SubscriptionName"], self.params["SourceIdentifier"])
        return ActionResult({"EventSubscription": changed})
