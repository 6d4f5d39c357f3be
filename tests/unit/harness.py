"""Runs a Pulumi program under mocks and keeps every registration, options included."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime import rpc
from pulumi.runtime.settings import SETTINGS
from pulumi.runtime.stack import run_pulumi_func

ACCOUNT = "123456789012"
REGION = "eu-west-1"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One resource as the program registered it."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    parent: str
    protect: bool
    retain_on_delete: bool
    ignore_changes: tuple[str, ...]
    delete_before_replace: bool
    provider: str
    aliases: int
    dependencies: tuple[str, ...]
    secret_inputs: frozenset[str]


@dataclass(kw_only=True)
class Deployment:
    """All that a program registered and called."""

    resources: list[Registered] = field(default_factory=list)
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    # The provider of each call, in the same order; empty for the default one.
    call_providers: list[str] = field(default_factory=list)
    # What was read instead of registered: type and id. `answers` has the outputs by type.
    reads: list[tuple[str, str]] = field(default_factory=list)
    # By type and name. Mocks run none of them: see `transformed`.
    transforms: dict[tuple[str, str], list[pulumi.ResourceTransform]] = field(default_factory=dict)
    result: Any = None

    def one(self, type_: str, name: str | None = None) -> Registered:
        """The only resource of this type (and name); more or fewer is a failure."""
        found = [r for r in self.of(type_) if name is None or r.name == name]
        have = sorted(r.name for r in self.of(type_))
        assert len(found) == 1, f"expected one {type_} named {name or 'anything'}, got {len(found)} of {have}"
        return found[0]

    def of(self, type_: str) -> list[Registered]:
        """All resources of a type, in the order of their names."""
        return sorted((r for r in self.resources if r.type == type_), key=lambda r: r.name)

    def count(self) -> dict[str, int]:
        """How many custom resources there are of each type."""
        counts: dict[str, int] = {}
        for resource in self.resources:
            if not resource.type.startswith("switchyard:"):
                counts[resource.type] = counts.get(resource.type, 0) + 1
        return counts


# What an invoke's token (or the type of a resource that is read) is answered with: its result (or
# outputs), or the error that it fails with.
Answers = Mapping[str, Mapping[str, Any] | Exception]


class _Mocks(pulumi_mocks.Mocks):
    def __init__(self, deployment: Deployment, answers: Answers) -> None:
        self.deployment = deployment
        self.answers = answers

    def call(self, args: pulumi_mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        self.deployment.calls.append((args.token, args.args))
        self.deployment.call_providers.append(args.provider)
        if args.token not in self.answers:
            raise AssertionError(f"the program called {args.token}({args.args}), which no test answers")
        answer = self.answers[args.token]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer), []

    def new_resource(self, args: pulumi_mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.deployment.transforms[args.typ, args.name] = args.transforms
        found = self.answers.get(args.typ, {}) if args.resource_id else {}
        if args.resource_id:
            self.deployment.reads.append((args.typ, args.resource_id))
        if isinstance(found, Exception):
            raise found
        kind = args.typ.rsplit(":", 1)[-1]
        outputs = {
            "arn": f"arn:aws:{kind}:{REGION}:{ACCOUNT}:{args.name}",
            "name": args.name,
            "arnSuffix": f"{kind}/{args.name}/0123456789abcdef",
            # What a stack reference reads: this stack has no outputs yet.
            "outputs": {},
            "repositoryUrl": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{args.name}",
            "publicIp": "192.0.2.1",
            "defaultNetworkAclId": f"{args.name}-default-acl",
            "dnsName": f"{args.name}.example.com",
            "zoneId": "Z0123456789",
            "keyId": f"key-{args.name}",
            "address": f"{args.name}.rds.example.com",
            "dashboardArn": f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{args.name}",
            "masterUserSecrets": [
                {"secretArn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{args.name}"}
            ],
        }
        return f"{args.name}-id", {**outputs, **args.inputs, **found}


class _Monitor(pulumi_mocks.MockMonitor):
    def __init__(self, mocks: _Mocks, deployment: Deployment) -> None:
        super().__init__(mocks)
        self.deployment = deployment

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the RPC
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            inputs = rpc.deserialize_properties(request.object, keep_unknowns=False)
            secrets = {key for key, value in inputs.items() if rpc.is_rpc_secret(value)}
            self.deployment.resources.append(
                Registered(
                    type=request.type,
                    name=request.name,
                    inputs={key: rpc.unwrap_rpc_secret(value) for key, value in inputs.items()},
                    parent=request.parent.rsplit("::", 1)[-1],
                    protect=bool(request.protect),
                    retain_on_delete=bool(request.retainOnDelete),
                    ignore_changes=tuple(request.ignoreChanges),
                    delete_before_replace=bool(request.deleteBeforeReplace),
                    provider=request.provider,
                    aliases=len(request.aliases),
                    dependencies=tuple(sorted(urn.rsplit("::", 1)[-1] for urn in request.dependencies)),
                    secret_inputs=frozenset(secrets),
                )
            )
        return answer


def deploy(
    program: Callable[[], Any],
    *,
    answers: Answers | None = None,
    preview: bool = False,
    stack: str = "test",
) -> Deployment:
    """Runs `program` under mocks, waits for all of it and returns what it registered.

    `answers` maps an invoke's token to its result; an invoke without one fails the test.
    Raises whatever the program raised.
    """
    deployment = Deployment()
    mocks = _Mocks(deployment, answers or {})
    monitor = _Monitor(mocks, deployment)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        pulumi_mocks.set_mocks(mocks, project="switchyard", stack=stack, preview=preview, monitor=monitor)
        SETTINGS.rpc_manager.clear()
        SETTINGS.outputs.clear()

        def run() -> None:
            deployment.result = program()

        loop.run_until_complete(run_pulumi_func(run))
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    return deployment


def transformed(
    deployment: Deployment,
    type_: str,
    name: str,
    *,
    answers: Answers | None = None,
    changed: Mapping[str, Any] | None = None,
) -> pulumi.ResourceTransformResult | None:
    """What the one transform of a resource makes of its inputs, with `changed` in their place.

    Its calls are added to the deployment's. Raises whatever the transform raised.
    """
    registered = deployment.one(type_, name)
    (transform,) = deployment.transforms[type_, name]
    mocks = _Mocks(deployment, answers or {})
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        monitor = _Monitor(mocks, deployment)
        pulumi_mocks.set_mocks(mocks, project="switchyard", stack="test", preview=False, monitor=monitor)

        async def run() -> pulumi.ResourceTransformResult | None:
            given = pulumi.ResourceTransformArgs(
                custom=True,
                type_=type_,
                name=name,
                props={**registered.inputs, **(changed or {})},
                opts=pulumi.ResourceOptions(ignore_changes=list(registered.ignore_changes)),
            )
            result = transform(given)
            return await result if isinstance(result, Awaitable) else result

        return loop.run_until_complete(run())
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def value_of(output: pulumi.Input[Any]) -> Any:
    """The resolved value of an output that `deploy` has already waited for."""
    if not isinstance(output, pulumi.Output):
        return output
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(output.future())
    finally:
        loop.close()
