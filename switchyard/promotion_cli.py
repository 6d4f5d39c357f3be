"""`switchyard promote` and `switchyard release evidence`: from one stack to the next."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from switchyard.console import AsJson, StackName, out, print_json, writable, write
from switchyard.release_request import Change, Commit, Hotfix, Services, Yes, request_of
from switchyard.release_run import start_release


def promote(
    source: Annotated[str, typer.Option("--from", help="The stack in which the digests were proven.")],
    target: Annotated[str, typer.Option("--to", help="The stack that they go to.")],
    service: Services = None,
    evidence: Annotated[
        Path | None,
        typer.Option(
            help="What `release evidence` has written, where no credentials lead to the other stack."
        ),
    ] = None,
    hotfix: Hotfix = False,
    change: Change = None,
    commit: Commit = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Release to one stack the very digests that another one has proven, once they have soaked there.

    Status 6 if it is too early, and 0 if they run there already.
    """
    from release.evidence import read
    from switchyard.releases import ReleasedStack, promoted_images, running_images

    found = read(evidence, datetime.now(UTC)) if evidence else None
    opened = ReleasedStack(target, evidence=found)
    proven = promoted_images(source, opened, list(service or []), hotfix=hotfix)
    live = running_images(opened, list(proven))
    images = {name: image for name, image in proven.items() if live.get(name) != image}
    if not images:
        _nothing_new(target, proven, as_json)
        return
    request = request_of(
        opened,
        images,
        hotfix=hotfix,
        change=change,
        commit=commit,
    )
    start_release(opened, request, yes=yes, as_json=as_json)


def _nothing_new(target: str, proven: "dict[str, str]", as_json: bool) -> None:
    reason = f"{target} runs what is proven already: {', '.join(sorted(proven))}"
    if as_json:
        print_json({"outcome": "completed", "exit_status": 0, "reason": reason, "release": None})
    else:
        out.print(reason, markup=False, soft_wrap=True)


def evidence(
    target: Annotated[str, typer.Option("--for", help="The stack that it would be promoted to.")],
    file: Annotated[Path, typer.Option("--out", help="Where to write it.")],
    stack: StackName = "local",
    hotfix: Hotfix = False,
) -> None:
    """Write down what a stack has proved, for `switchyard promote --evidence` in another account.

    Status 3 if what is live has not proved itself, 6 if it only has not soaked long enough; no file then.
    """
    from switchyard import evidence as module

    writable(file)
    taken = module.take(stack)
    module.judge(taken, target, hotfix=hotfix)
    write(file, taken.text())
    for name, image in sorted(taken.live.items()):
        out.print(f"{name}: {image}", markup=False, soft_wrap=True)
