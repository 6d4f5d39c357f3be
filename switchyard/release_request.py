"""What a release command is given on the command line, and the request that it makes of that."""

import getpass
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from release.plan import Request
    from switchyard.releases import ReleasedStack

Services = Annotated[
    list[str] | None, typer.Option("--service", help="A service to release; repeat it for several.")
]
Strategy = Literal["all-at-once", "linear", "canary"]
Image = Annotated[
    list[str] | None,
    typer.Option("--image", help="REPOSITORY@sha256:…, one for each --service, in the same order."),
]
StrategyOption = Annotated[Strategy | None, typer.Option(help="How traffic moves; else as the settings say.")]
Step = Annotated[int | None, typer.Option(min=1, max=100, help="Percent of a step.")]
Every = Annotated[int | None, typer.Option(min=0, help="Seconds between two steps.")]
Bake = Annotated[int | None, typer.Option(min=0, help="Seconds that the old colour stays warm at the end.")]
Hotfix = Annotated[bool, typer.Option("--hotfix", help="Short bake, no soak needed; both go on record.")]
Emergency = Annotated[bool, typer.Option("--emergency", help="Gates can be overridden, one by one.")]
Override = Annotated[
    list[str] | None, typer.Option("--override", help="GATE=REASON; needs --emergency. Goes on record.")
]
Change = Annotated[str | None, typer.Option(help="The change record that approves it.")]
Commit = Annotated[str | None, typer.Option(help="What was built; else CI's, or the one checked out.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def actor() -> str:
    """Who asks: the CI's user, else the one of this machine."""
    return os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN") or getpass.getuser()


def request_of(
    stack: "ReleasedStack",
    images: "dict[str, str]",
    *,
    hotfix: bool,
    change: str | None,
    commit: str | None,
    strategy: Strategy | None = None,
    step: int | None = None,
    every: int | None = None,
    bake: int | None = None,
    emergency: bool = False,
    override: list[str] | None = None,
) -> "Request":
    """What is asked for, with who asks and which commit it is."""
    from release.plan import Request
    from switchyard.releases import commit_of_checkout

    whole = set(images) == set(stack.settings.services)
    kind: Any = "hotfix" if hotfix else "emergency" if emergency else "full" if whole else "partial"
    return Request(
        kind=kind,
        images=images,
        actor=actor(),
        strategy=strategy,
        step_percent=step,
        every_seconds=every,
        bake_seconds=bake,
        commit=commit or commit_of_checkout(),
        change=change,
        overrides=_overrides(override or []),
    )


def images_of(services: Sequence[str] | None, images: Sequence[str] | None) -> dict[str, str]:
    """By service, the image that was given for it. Raises BadParameter unless each has one."""
    names, given = list(services or []), list(images or [])
    if not names or len(names) != len(given) or len(set(names)) != len(names):
        raise typer.BadParameter(
            f"got {len(names)} --service and {len(given)} --image; give one image for each service, in the "
            "same order: --service api --image REPOSITORY@sha256:…"
        )
    return dict(zip(names, given, strict=True))


def _overrides(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in given:
        gate, is_pair, reason = one.partition("=")
        if not is_pair or not gate or not reason.strip():
            raise typer.BadParameter(
                f"--override {one!r}: write GATE=REASON, such as alarms='this is the fix'"
            )
        found[gate] = reason.strip()
    return found
