"""What moto's AWS API lacks and the platform uses, added to moto's own classes.

One module per service, written as the change to moto would be.
"""

import os
from typing import Any

# moto reads it when it is imported: the policies that AWS itself has, such as those for AWS Backup.
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.backup import urls as backup_urls
from moto.backup.models import BackupBackend
from moto.backup.responses import BackupResponse
from moto.rds.models import DBInstance, RDSBackend
from moto.rds.responses import RDSResponse

from localcloud.aws import application_autoscaling, backup, rds


def install() -> None:
    """Adds it all. To be called once, before the server is made."""
    _add(backup.Models, BackupBackend)
    _add(backup.Responses, BackupResponse)
    backup_urls.url_paths |= dict.fromkeys(backup.PATHS, backup_urls.response.dispatch)
    _add(rds.Models, RDSBackend)
    _add(rds.Responses, RDSResponse)
    _replace(DBInstance, "__init__", rds.with_its_own_id(DBInstance.__init__))
    _replace(DBInstance, "set_as_replica", rds.with_a_new_id(DBInstance.set_as_replica))
    _add(application_autoscaling.Responses, ApplicationAutoScalingResponse)
    register = ApplicationAutoScalingResponse.register_scalable_target
    _replace(
        ApplicationAutoScalingResponse, "register_scalable_target", application_autoscaling.with_tags(register)
    )


def _add(ours: type, moto_class: type) -> None:
    for name, method in vars(ours).items():
        if callable(method):
            setattr(moto_class, name, method)


def _replace(moto_class: type, name: str, method: Any) -> None:
    setattr(moto_class, name, method)
