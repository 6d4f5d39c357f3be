"""What a stack's program declares, with nothing deployed, no account asked and no engine started.

The program runs as it is under Pulumi's mocks. Whatever AWS would answer (an ARN, an id, an address) stands
in the inputs as a token, so that it can be seen which property of which resource it is.
"""

import asyncio
import re
import secrets
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime import rpc
from pulumi.runtime.settings import SETTINGS
from pulumi.runtime.stack import run_pulumi_func

from infra.arguments import Stack
from infra.platform import deploy

IMAGES = "aws:ssm/getParametersByPath:getParametersByPath"
STACK_REFERENCE = "pulumi:pulumi:StackReference"
PROVIDER = "pulumi:providers:"
COMPONENT = "switchyard:"
# Letters and digits alone: it survives JSON, names and paths. The nonce keeps a setting from forging one.
TOKEN = re.compile(r"xref[0-9a-f]{8}n\d+x")


class NotRendered(Exception):
    """The program can't be shown as something else, and why."""


@dataclass(frozen=True, kw_only=True, order=True)
class Address:
    """A resource of one stack: pulumi-aws's type token and the logical name."""

    type: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A property that another resource will have. `path` is in pulumi-aws's words: `arn`, or
    `masterUserSecrets[0].secretArn`."""

    of: Address
    path: str


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One custom resource as the program declares it.

    inputs: by pulumi-aws's names. A string may hold tokens, whole or in its middle.
    references: what each token that the inputs hold stands for.
    secret: names of inputs that are secret.
    parents: logical names of the components around it, the outermost first.
    after: resources that it waits for, used or not.
    provider: logical name of its provider; empty for the default one.
    """

    address: Address
    inputs: Mapping[str, Any]
    references: Mapping[str, Reference]
    secret: frozenset[str]
    parents: tuple[str, ...]
    after: tuple[Address, ...]
    provider: str
    protect: bool
    ignore_changes: tuple[str, ...]

    @property
    def type(self) -> str:
        """pulumi-aws's type token."""
        return self.address.type

    @property
    def name(self) -> str:
        """The logical name."""
        return self.address.name

    def references_in(self, value: Any) -> list[Reference]:
        """What an input, or a part of one, takes from other resources."""
        return [self.references[token] for token in tokens_in(value) if token in self.references]


def declared(stack: Stack, images: Mapping[str, str] | None = None) -> list[Declared]:
    """The custom resources of a stack, in the order of their addresses; its providers are among them.

    images: image of each colour by SSM parameter name, as the release engine writes them. A colour without
        one is declared as on a new stack: it runs the bootstrap image, and nothing scales it.

    Raises whatever the program raises.
    """
    known = images or {}
    answers = {IMAGES: {"names": list(known), "values": list(known.values())}}
    return evaluated(lambda: deploy(stack), project=stack.project, stack=stack.name, answers=answers)


def evaluated(
    program: Callable[[], Any],
    *,
    project: str,
    stack: str,
    answers: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Declared]:
    """The custom resources that a program declares. `answers` has the result of each invoke by its token.

    Raises NotRendered for an invoke that nobody answers, and whatever the program raises.
    """
    evaluation = _Evaluation(answers=answers or {}, nonce=secrets.token_hex(4))
    monitor = _Monitor(evaluation)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        pulumi_mocks.set_mocks(
            _Mocks(evaluation), project=project, stack=stack, preview=False, monitor=monitor
        )
        SETTINGS.rpc_manager.clear()
        SETTINGS.outputs.clear()

        def run() -> None:
            # What it returns are outputs, and a resource that only they use is still declared.
            program()

        loop.run_until_complete(run_pulumi_func(run))
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    return sorted(evaluation.found, key=lambda resource: resource.address)


def tokens_in(value: Any) -> Iterator[str]:
    """The tokens that a value holds, at any depth."""
    if isinstance(value, str):
        yield from TOKEN.findall(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from tokens_in(key)
            yield from tokens_in(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from tokens_in(inner)


# --- under the mocks


@dataclass(kw_only=True)
class _Evaluation:
    answers: Mapping[str, Mapping[str, Any]]
    nonce: str
    references: dict[str, Reference] = field(default_factory=dict)
    found: list[Declared] = field(default_factory=list)

    def token(self, reference: Reference) -> str:
        token = f"xref{self.nonce}n{len(self.references)}x"
        self.references[token] = reference
        return token


class _Mocks(pulumi_mocks.Mocks):
    def __init__(self, evaluation: _Evaluation) -> None:
        self._evaluation = evaluation

    def call(self, args: pulumi_mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        if args.token not in self._evaluation.answers:
            raise NotRendered(
                f"the program asks AWS by {args.token}, which is not answered without an account; "
                "give its answer, or take the value from the settings"
            )
        return dict(self._evaluation.answers[args.token]), []

    def new_resource(self, args: pulumi_mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        if args.typ == STACK_REFERENCE:
            # A stack that has never been deployed has no outputs.
            return args.name, {"name": args.name, "outputs": {}, "secretOutputNames": []}
        address = Address(type=args.typ, name=args.name)
        if args.typ.startswith((PROVIDER, COMPONENT)):
            return args.name, dict(args.inputs)
        outputs = {
            name: self._output(address, name, annotation) for name, annotation in _outputs(args.typ).items()
        }
        identity = self._evaluation.token(Reference(of=address, path="id"))
        return identity, {
            **args.inputs,
            **{name: value for name, value in outputs.items() if value is not None},
        }

    def _output(self, address: Address, path: str, annotation: Any) -> Any:
        """Tokens in the shape of the annotation; None for what is no text."""
        if annotation is str:
            return self._evaluation.token(Reference(of=address, path=path))
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is not None and len(arguments) >= 1 and _is_union(annotation):
            return self._output(address, path, next(kind for kind in arguments if kind is not type(None)))
        if origin in (Sequence, list) and arguments:
            element = self._output(address, f"{path}[0]", arguments[0])
            return None if element is None else [element]
        if isinstance(annotation, type) and issubclass(annotation, dict):
            nested = {
                name: self._output(address, f"{path}.{name}", kind)
                for name, kind in _getters(annotation).items()
            }
            return {name: value for name, value in nested.items() if value is not None} or None
        return None


class _Monitor(pulumi_mocks.MockMonitor):
    def __init__(self, evaluation: _Evaluation) -> None:
        super().__init__(_Mocks(evaluation))
        self._evaluation = evaluation
        self._parents: dict[str, tuple[str, ...]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the RPC
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        above = self._parents.get(request.parent, ())
        if request.type.startswith(COMPONENT):
            self._parents[answer.urn] = (*above, request.name)
        elif request.custom:
            self._evaluation.found.append(self._declared(request, above))
        return answer

    def _declared(self, request: Any, parents: tuple[str, ...]) -> Declared:
        properties = rpc.deserialize_properties(request.object, keep_unknowns=False)
        secret = frozenset(name for name, value in properties.items() if rpc.is_rpc_secret(value))
        inputs = {name: rpc.unwrap_rpc_secret(value) for name, value in properties.items()}
        own = Address(type=request.type, name=request.name)
        after = {_address(urn) for urn in request.dependencies}
        return Declared(
            address=own,
            inputs=inputs,
            # Text of a token's form that no resource gave out is text.
            references={
                token: self._evaluation.references[token]
                for token in set(tokens_in(inputs))
                if token in self._evaluation.references
            },
            secret=secret,
            parents=parents,
            after=tuple(sorted(a for a in after if not a.type.startswith(COMPONENT) and a != own)),
            provider=request.provider.rpartition("::")[0].rpartition("::")[2],
            protect=bool(request.protect),
            ignore_changes=tuple(request.ignoreChanges),
        )


def _address(urn: str) -> Address:
    _, _, types, name = urn.split("::", 3)
    return Address(type=types.rpartition("$")[2], name=name)


# --- what a type will have


@cache
def _outputs(token: str) -> Mapping[str, Any]:
    """The annotations of a type's outputs by pulumi-aws's names."""
    package, path, name = token.split(":")
    module = import_module(f"pulumi_{package}.{path.partition('/')[0]}")
    kind = getattr(module, name)
    return {
        found: typing.get_args(annotation)[0]
        for found, annotation in _getters(kind).items()
        if typing.get_args(annotation)
    }


@cache
def _getters(kind: type) -> Mapping[str, Any]:
    """The annotations of the getters of a class that Pulumi's generator made, by the names on the wire."""
    found = {}
    for member in vars(kind).values():
        if isinstance(member, property) and member.fget is not None:
            name = getattr(member.fget, "_pulumi_name", None)
            if name is not None:
                scope = vars(sys.modules[kind.__module__])
                found[name] = typing.get_type_hints(member.fget, scope).get("return")
    return found


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, type(int | str))
