"""ECS: a service keeps all the settings that it was given."""

from collections.abc import Callable
from typing import Any

from botocore import xform_name

# The settings of CreateService and UpdateService that moto reads past at the creation, as the API spells
# them. DescribeServices answers each under the same name.
SETTINGS = (
    "availabilityZoneRebalancing",
    "capacityProviderStrategy",
    "deploymentConfiguration",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "healthCheckGracePeriodSeconds",
    "placementConstraints",
    "placementStrategy",
)


def with_all_settings(create: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """CreateService; moto's own UpdateService keeps whatever it gets."""

    def create_service(self: Any) -> Any:
        answer = create(self)
        given = self._get_params()
        service = answer._result["service"]
        for name in SETTINGS:
            if given.get(name) is not None:
                setattr(service, xform_name(name), given[name])
        return answer

    return create_service
