"""What AWS would ask IAM about a call: the action, the resource, and what conditions go by.

The resource is `*` where the table below has none: only a permission for everything covers that. Besides the
call itself, AWS asks for what it does in the caller's name, as its Service Authorization Reference says of
each action ("dependent actions"): a role that is handed over, a key that is used, tags that are set.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.cloud.authorization import HANDED_TO, KEY_USES, LINKED, NAMED, PREFIXES, READING, S3, TAGGING
from tests.cloud.recorder import Call

ROLE_ARN = re.compile(r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]+")
KEY_ARN = re.compile(r"arn:aws:kms:[\w-]+:\d{12}:key/[\w-]+")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question to IAM."""

    action: str
    resource: str = "*"
    context: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def changes(self) -> bool:
        """Whether it is more than looking."""
        return not self.action.partition(":")[2].startswith(READING)

    def __str__(self) -> str:
        return f"{self.action} on {self.resource} {dict(self.context) or ''}".rstrip()


@dataclass(kw_only=True)
class Account:
    """What the calls so far have told of an account.

    roles: ARN and boundary by name. tagged: keys that carry the project's tag.
    """

    number: str
    state_bucket: str
    state_key: str
    roles: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    tagged: dict[str, str] = field(default_factory=dict)
    definitions: dict[str, list[str]] = field(default_factory=dict)

    def asked(self, calls: Sequence[Call]) -> list[Asked]:
        """All that AWS would ask IAM about these calls, each once."""
        found: dict[tuple[str, str, str], Asked] = {}
        for call in calls:
            self._learn(call)
            for one in (*self._itself(call), *self._in_its_name(call)):
                found[one.action, one.resource, str(sorted(one.context.items()))] = one
        return list(found.values())

    def _learn(self, call: Call) -> None:
        if (call.service, call.operation) == ("iam", "CreateRole"):
            name, path = call.given["RoleName"], call.given.get("Path", "/")
            arn = f"arn:aws:iam::{self.number}:role{path}{name}"
            self.roles[name] = arn, call.given.get("PermissionsBoundary")
        if (call.service, call.operation) == ("kms", "CreateKey"):
            tags = {tag["TagKey"]: tag["TagValue"] for tag in call.given.get("Tags", [])}
            self.tagged[json.loads(call.answer)["KeyMetadata"]["Arn"]] = tags.get("project", "")

    def _arn(self, service: str, region: str, rest: str) -> str:
        return rest if rest.startswith("arn:") else f"arn:aws:{service}:{region}:{self.number}:{rest}"

    # --- the call itself

    def _itself(self, call: Call) -> Iterator[Asked]:
        special: Mapping[str, Callable[[Call], Iterator[Asked]]] = {
            "ecs": self._ecs,
            "iam": self._iam,
            "kms": self._kms,
            "s3": self._s3,
        }
        if call.operation == "TransactWriteItems":
            for entry in call.given["TransactItems"]:
                for verb, what in entry.items():
                    action = "ConditionCheckItem" if verb == "ConditionCheck" else f"{verb}Item"
                    yield self._asked(call, action, f"table/{what['TableName']}")
        elif "Dashboard" in call.operation and call.operation != "ListDashboards":
            names = _values(call.given, "DashboardName") or _values(call.given, "DashboardNames")
            for name in names:
                resource = f"arn:aws:cloudwatch::{self.number}:dashboard/{name}"
                yield Asked(action=f"cloudwatch:{call.operation}", resource=resource)
        elif call.service in special:
            yield from special[call.service](call)
        else:
            named = NAMED.get(call.service, {})
            rests = [
                form.format(v.lstrip("/") if call.service == "ssm" else v)
                for parameter, form in named.items()
                for v in _values(call.given, parameter)
            ]
            for rest in rests or ["*"]:
                yield self._asked(call, call.operation, _whole(rest))

    def _asked(self, call: Call, action: str, rest: str, **context: str) -> Asked:
        prefix = PREFIXES.get(call.service, call.service)
        resource = rest if rest == "*" else self._arn(prefix, call.region, rest)
        return Asked(action=f"{prefix}:{action}", resource=resource, context=context)

    def _ecs(self, call: Call) -> Iterator[Asked]:
        given = call.given
        cluster = str(given.get("cluster") or given.get("clusterName") or "").rpartition("/")[2]
        if service := given.get("service") or given.get("serviceName"):
            rest = str(service) if str(service).startswith("arn:") else f"service/{cluster}/{service}"
        elif call.operation == "RegisterTaskDefinition":
            rest = f"task-definition/{given['family']}:1"
        elif call.operation == "RunTask":
            rest = str(given["taskDefinition"])
            rest = rest if rest.startswith("arn:") else f"task-definition/{rest}"
        elif call.operation == "StopTask":
            rest = str(given["task"])
            rest = rest if rest.startswith("arn:") else f"task/{cluster}/{rest}"
        elif call.operation == "DeregisterTaskDefinition":
            rest = "*"
        else:
            rest = str(given.get("resourceArn") or (f"cluster/{cluster}" if cluster else "*"))
        yield self._asked(call, call.operation, rest)

    def _iam(self, call: Call) -> Iterator[Asked]:
        name = str(call.given.get("RoleName", ""))
        if not name:
            yield self._asked(call, call.operation, "*")
            return
        arn, boundary = self.roles.get(name, ("*", None))
        context = {"iam:PermissionsBoundary": boundary} if boundary else {}
        if "PolicyArn" in call.given:
            context["iam:PolicyARN"] = str(call.given["PolicyArn"])
        yield Asked(action=f"iam:{call.operation}", resource=arn, context=context)

    def _kms(self, call: Call) -> Iterator[Asked]:
        if call.operation == "CreateKey":
            yield Asked(action="kms:CreateKey")
            tags = {f"aws:RequestTag/{tag['TagKey']}": tag["TagValue"] for tag in call.given.get("Tags", [])}
            for action in ("PutKeyPolicy", "TagResource") if tags else ():
                resource = json.loads(call.answer)["KeyMetadata"]["Arn"]
                yield Asked(action=f"kms:{action}", resource=resource, context=tags)
            return
        if "Alias" in call.operation and "AliasName" in call.given:
            yield self._asked(call, call.operation, str(call.given["AliasName"]))
        key = KEY_ARN.search(call.answer) if call.operation in ("Decrypt", "Encrypt") else None
        given = call.given.get("TargetKeyId") or call.given.get("KeyId")
        if key is not None:
            yield self._of_key(call.operation, key[0])
        elif given:
            arn = self._arn("kms", call.region, str(given) if "/" in str(given) else f"key/{given}")
            yield self._of_key(call.operation, arn)
        elif "AliasName" not in call.given:
            yield self._asked(call, call.operation, "*")

    def _of_key(self, action: str, arn: str) -> Asked:
        project = self.tagged.get(arn)
        context = {"aws:ResourceTag/project": project} if project else {}
        return Asked(action=f"kms:{action}", resource=arn, context=context)

    def _s3(self, call: Call) -> Iterator[Asked]:
        bucket, key = call.given.get("Bucket"), call.given.get("Key")
        resource = f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "") if bucket else "*"
        action = S3.get(call.operation, call.operation)
        yield Asked(action=f"s3:{action}", resource=resource)
        if bucket == self.state_bucket and key and action != "DeleteObject":
            # Every object of it is sealed with the key of the state.
            yield Asked(action="kms:Decrypt", resource=self.state_key)
            if action == "PutObject":
                yield Asked(action="kms:GenerateDataKey", resource=self.state_key)

    # --- what the service does in the caller's name

    def _in_its_name(self, call: Call) -> Iterator[Asked]:
        what = call.service, call.operation
        text = json.dumps(call.given, default=str)
        if what in HANDED_TO:
            roles = sorted(set(ROLE_ARN.findall(text)))
            if what[0] == "ecs":
                self.definitions[json.loads(call.answer)["taskDefinition"]["taskDefinitionArn"]] = roles
            yield from _handed_over(roles, HANDED_TO[what])
        if what == ("ecs", "RunTask"):
            yield from _handed_over(self.definitions.get(str(call.given["taskDefinition"]), []), "ecs-tasks")
        for use in KEY_USES.get(what, "").split():
            for key in sorted(set(KEY_ARN.findall(text))):
                yield self._of_key(use, key)
        if what in LINKED:
            service = f"{LINKED[what]}.amazonaws.com"
            resource = f"arn:aws:iam::{self.number}:role/aws-service-role/{service}/AWSServiceRole"
            context = {"iam:AWSServiceName": service}
            yield Asked(action="iam:CreateServiceLinkedRole", resource=resource, context=context)
        yield from self._tagging(call, text)
        yield from self._others(call)

    def _tagging(self, call: Call, text: str) -> Iterator[Asked]:
        """What is made with tags is tagged by its maker."""
        prefix = PREFIXES.get(call.service, call.service)
        makes = call.operation.startswith(("Create", "Put", "Register"))
        if makes and prefix in TAGGING and re.search(r'"(Tags|tags|TagSpecification)[".]', text):
            for itself in self._itself(call):
                yield replace(itself, action=f"{prefix}:{TAGGING[prefix]}")

    def _others(self, call: Call) -> Iterator[Asked]:
        what, region = (call.service, call.operation), call.region
        if what == ("backup", "CreateBackupVault"):
            yield Asked(action="backup-storage:MountCapsule")
        if what == ("ec2", "CreateVpcEndpoint") and call.given.get("VpcEndpointType") == "Interface":
            yield Asked(action="route53:AssociateVPCWithHostedZone")
        if what == ("rds", "CreateDBInstance") and call.given.get("ManageMasterUserPassword") == "true":
            for action in ("CreateSecret", "TagResource"):
                resource = self._arn("secretsmanager", region, "secret:rds!db-1-a1b2c3")
                yield Asked(action=f"secretsmanager:{action}", resource=resource)
        if call.service == "application-autoscaling" and "ResourceId" in call.given:
            service = str(call.given["ResourceId"])
            if call.operation == "RegisterScalableTarget":
                for action in ("DescribeServices", "UpdateService"):
                    yield Asked(action=f"ecs:{action}", resource=self._arn("ecs", region, service))
            if call.operation in ("PutScalingPolicy", "DeleteScalingPolicy"):
                action = "PutMetricAlarm" if call.operation.startswith("Put") else "DeleteAlarms"
                alarm = self._arn("cloudwatch", region, f"alarm:TargetTracking-{service}-AlarmHigh-1")
                yield Asked(action=f"cloudwatch:{action}", resource=alarm)


def _handed_over(roles: Sequence[str], service: str) -> Iterator[Asked]:
    for role in roles:
        context = {"iam:PassedToService": f"{service}.amazonaws.com"}
        yield Asked(action="iam:PassRole", resource=role, context=context)


def _whole(rest: str) -> str:
    """An ARN that was given where a name may stand is the resource itself."""
    found = re.search(r"arn:aws:\S+?(?=-a1b2c3$|$)", rest)
    return found[0] if found else rest


def _values(given: Mapping[str, Any], parameter: str) -> list[str]:
    """A parameter's values, in JSON or in a form (`Names.member.1`)."""
    value = given.get(parameter)
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [str(one) for one in value]
    return [str(v) for name, v in given.items() if name.startswith(f"{parameter}.member.")]
