"""What moto's AWS API lacks and the platform uses, added to moto's own classes.

One module per service, written as the change to moto would be.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.backup import urls as backup_urls
from moto.backup.models import BackupBackend
from moto.backup.responses import BackupResponse
from moto.core.common_models import BaseModel
from moto.dynamodb.models import DynamoDBBackend
from moto.ec2.models import EC2Backend
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.rds.models import DBInstance, RDSBackend
from moto.rds.responses import RDSResponse
from moto.s3.models import FakeBucket

from localcloud.aws import application_autoscaling, backup, dynamodb, ec2, ecs, instances, rds, s3


@cache
def install() -> None:
    """Adds it all, once however often it is called. To be called before the server is made."""
    setattr(BaseModel, "__new__", instances.untracked)  # noqa: B010 - a method
    _application_autoscaling()
    _backup()
    _dynamodb()
    _ec2()
    _ecs()
    _rds()
    _s3()


def _application_autoscaling() -> None:
    _add(application_autoscaling.Responses, ApplicationAutoScalingResponse)
    _wrap(ApplicationAutoScalingResponse, "register_scalable_target", application_autoscaling.with_tags)


def _backup() -> None:
    _add(backup.Models, BackupBackend)
    _add(backup.Responses, BackupResponse)
    backup_urls.url_paths |= dict.fromkeys(backup.PATHS, backup_urls.response.dispatch)


def _dynamodb() -> None:
    for name, method in dynamodb.replacements().items():
        setattr(DynamoDBBackend, name, method)


def _ec2() -> None:
    _wrap(SecurityGroupRule, "__init__", ec2.with_prefix_list_description)
    _answer(SecurityGroupRule, "description", ec2.rule_description)
    _wrap(EC2Backend, "delete_nat_gateway", ec2.with_its_interface)
    _wrap(EC2Backend, "delete_vpc", ec2.with_its_network_acl)


def _ecs() -> None:
    _wrap(EC2ContainerServiceResponse, "create_service", ecs.with_all_settings)


def _rds() -> None:
    _add(rds.Models, RDSBackend)
    _add(rds.Responses, RDSResponse)
    _wrap(DBInstance, "__init__", rds.with_what_it_was_given)
    _wrap(DBInstance, "update", rds.with_one_secret)
    _wrap(RDSBackend, "create_db_instance_read_replica", rds.as_an_instance_of_its_own)
    _answer(DBInstance, "PerformanceInsightsEnabled", rds.performance_insights_enabled)
    _answer(DBInstance, "PerformanceInsightsRetentionPeriod", rds.performance_insights_days)


def _s3() -> None:
    _wrap(FakeBucket, "get_permission", s3.without_conditional_denials)


def _add(ours: type, moto_class: type) -> None:
    for name, method in vars(ours).items():
        if callable(method):
            setattr(moto_class, name, method)


def _wrap(moto_class: type, name: str, wrapper: Callable[[Any], Any]) -> None:
    setattr(moto_class, name, wrapper(getattr(moto_class, name)))


def _answer(moto_class: type, name: str, getter: Callable[[Any], Any]) -> None:
    """Answers are made from attributes, which moto finds under the API's names or in snake case."""
    setattr(moto_class, name, property(getter))
