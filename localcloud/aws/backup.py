"""AWS Backup: selections, vault notifications, recovery points, a plan's update; tags as the SDKs ask.

Each class adds its methods to moto's class of the same service.
"""

import json
from typing import Any
from urllib.parse import unquote

from moto.backup.exceptions import ResourceNotFoundException
from moto.backup.models import BackupBackend, Plan
from moto.core.utils import unix_time
from moto.moto_api._internal import mock_random

Json = dict[str, Any]


class Models(BackupBackend):
    """State: selections by plan, notifications by vault, kept on the plan and the vault themselves."""

    def create_backup_selection(self, plan_id: str, selection: Json, creator_request_id: str | None) -> Json:
        """The new selection. Raises ResourceNotFoundException for a plan that is not there."""
        made: Json = {
            "BackupPlanId": plan_id,
            "SelectionId": str(mock_random.uuid4()),
            "BackupSelection": selection,
            "CreationDate": unix_time(),
            "CreatorRequestId": creator_request_id,
        }
        _selections(self.get_backup_plan(plan_id, None))[made["SelectionId"]] = made
        return made

    def get_backup_selection(self, plan_id: str, selection_id: str) -> Json:
        """One selection. Raises ResourceNotFoundException."""
        found: Json | None = _selections(self.get_backup_plan(plan_id, None)).get(selection_id)
        if found is None:
            raise ResourceNotFoundException(msg=f"Cannot find backup selection with ID {selection_id}")
        return found

    def update_backup_plan(self, plan_id: str, document: Json) -> Plan:
        """The plan with a new document and version."""
        plan = self.get_backup_plan(plan_id, None)
        selections = _selections(plan)
        renewed = Plan(document, plan.creator_request_id, self)
        renewed.backup_plan_id, renewed.backup_plan_arn = plan.backup_plan_id, plan.backup_plan_arn
        _selections(renewed).update(selections)
        self.plans[plan_id] = renewed
        return renewed


class Responses:
    """The actions, one method each, as moto names them."""

    # What moto's own class has: set here for the type checker.
    backup_backend: Any
    body: str
    path: str

    def create_backup_selection(self) -> str:
        given = json.loads(self.body)
        made = self.backup_backend.create_backup_selection(
            self._part("plans"), given["BackupSelection"], given.get("CreatorRequestId")
        )
        return json.dumps({key: made[key] for key in ("SelectionId", "BackupPlanId", "CreationDate")})

    def get_backup_selection(self) -> str:
        found = self.backup_backend.get_backup_selection(self._part("plans"), self._part("selections"))
        return json.dumps({key: value for key, value in found.items() if value is not None})

    def delete_backup_selection(self) -> str:
        plan_id, selection_id = self._part("plans"), self._part("selections")
        self.backup_backend.get_backup_selection(plan_id, selection_id)
        del _selections(self.backup_backend.get_backup_plan(plan_id, None))[selection_id]
        return "{}"

    def list_backup_selections(self) -> str:
        found = _selections(self.backup_backend.get_backup_plan(self._part("plans"), None)).values()
        listed = [
            {
                "SelectionId": made["SelectionId"],
                "SelectionName": made["BackupSelection"]["SelectionName"],
                "BackupPlanId": made["BackupPlanId"],
                "CreationDate": made["CreationDate"],
                "IamRoleArn": made["BackupSelection"]["IamRoleArn"],
            }
            for made in found
        ]
        return json.dumps({"BackupSelectionsList": listed})

    def update_backup_plan(self) -> str:
        plan = self.backup_backend.update_backup_plan(
            self._part("plans"), json.loads(self.body)["BackupPlan"]
        )
        return json.dumps(plan.to_dict())

    def put_backup_vault_notifications(self) -> str:
        given = json.loads(self.body)
        self._vault().notifications = given["SNSTopicArn"], given["BackupVaultEvents"]
        return "{}"

    def get_backup_vault_notifications(self) -> str:
        vault = self._vault()
        if not getattr(vault, "notifications", None):
            raise ResourceNotFoundException(msg=f"{vault.backup_vault_name} has no notifications")
        topic, events = vault.notifications
        return json.dumps(
            {
                "BackupVaultName": vault.backup_vault_name,
                "BackupVaultArn": vault.backup_vault_arn,
                "SNSTopicArn": topic,
                "BackupVaultEvents": events,
            }
        )

    def delete_backup_vault_notifications(self) -> str:
        self._vault().notifications = None
        return "{}"

    def list_recovery_points_by_backup_vault(self) -> str:
        """None: moto runs no backup jobs. A vault that is not there is an error."""
        self._vault()
        return json.dumps({"RecoveryPoints": []})

    def list_tags(self) -> str:
        """moto expects a slash behind the ARN, which only some SDKs send."""
        arn = unquote(self.path.split("/tags/", 1)[1]).rstrip("/")
        return json.dumps({"Tags": self.backup_backend.list_tags(resource_arn=arn)})

    def _vault(self) -> Any:
        return self.backup_backend.describe_backup_vault(self._part("backup-vaults"))

    def _part(self, after: str) -> str:
        """The part of the path that follows this one."""
        parts = unquote(self.path).split("/")
        return parts[parts.index(after) + 1]


def _selections(plan: Plan) -> Json:
    found: Json = vars(plan).setdefault("selections", {})
    return found


PATHS = (
    "{0}/backup-vaults/(?P<name>[^/]+)/notification-configuration/?$",
    "{0}/backup-vaults/(?P<name>[^/]+)/recovery-points/?$",
)
