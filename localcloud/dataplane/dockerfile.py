"""What a Dockerfile says of an image, as far as a process can honour it. Pure: text in, recipe out.

Understood are FROM, WORKDIR, ENV, COPY, EXPOSE, USER, STOPSIGNAL, VOLUME, LABEL, and CMD and ENTRYPOINT in
their exec form. RUN is allowed and not executed: what it would install has to be there already. Everything
else is refused, with the line that it stands in, rather than left out silently.
"""

import json
import re
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from localcloud.errors import CloudError

UNDERSTOOD = (
    "FROM",
    "WORKDIR",
    "ENV",
    "COPY",
    "EXPOSE",
    "USER",
    "STOPSIGNAL",
    "VOLUME",
    "LABEL",
    "CMD",
    "ENTRYPOINT",
    "RUN",
)


class DockerfileError(CloudError):
    """A line that can't be understood or honoured; says where it is and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """COPY: paths relative to the application folder, and an absolute path in the image.

    into: whether the target is a directory that the sources go into, under their own names.
    """

    sources: Sequence[str]
    target: str
    into: bool


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a Dockerfile describes.

    entrypoint, command: the program; its first word is the first one of both together.
    environment: by name, in no particular order.
    workdir: absolute, `/` if none is said.
    stop_signal: such as `SIGTERM`.
    ports, volumes, user, labels: as written; they are in the image's configuration.
    not_executed: the RUN lines, as `line: text`.
    """

    base: str
    entrypoint: Sequence[str]
    command: Sequence[str]
    environment: Mapping[str, str]
    workdir: str
    stop_signal: str
    copies: Sequence[Copy]
    ports: Sequence[str]
    volumes: Sequence[str]
    user: str
    labels: Mapping[str, str]
    not_executed: Sequence[str]


@dataclass
class _Draft:
    base: str = ""
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    stop_signal: str = "SIGTERM"
    copies: list[Copy] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    user: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    not_executed: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Line:
    file: str
    number: int
    instruction: str
    rest: str

    def refused(self, cause: str, allowed: str) -> DockerfileError:
        given = f"{self.instruction} {self.rest}".strip()
        return DockerfileError(f"{self.file}:{self.number}: {given!r}: {cause}; {allowed}")


def parse(text: str, file: str = "Dockerfile") -> Recipe:
    """The recipe of a Dockerfile's text. `file` is how messages call it. Raises DockerfileError."""
    draft = _Draft()
    for line in _lines(text, file):
        if not draft.base and line.instruction != "FROM":
            raise line.refused("nothing can stand before FROM", "begin with FROM, such as python:3.12-slim")
        if line.instruction not in _READERS:
            raise line.refused("not understood here", "use " + ", ".join(UNDERSTOOD))
        _READERS[line.instruction](line, draft)
    if not draft.base:
        raise DockerfileError(f"{file}: no FROM; begin with FROM, such as python:3.12-slim")
    if not draft.entrypoint and not draft.command:
        raise DockerfileError(
            f"{file}: neither CMD nor ENTRYPOINT; "
            'end with the program to run, such as CMD ["python", "app.py"]'
        )
    return Recipe(**vars(draft))


def _lines(text: str, file: str) -> Iterator[_Line]:
    """Instructions with their continuations; comments and empty lines are gone."""
    number, held = 0, ""
    for index, raw in enumerate(text.splitlines(), start=1):
        if not raw.strip() or raw.lstrip().startswith("#"):
            continue
        number = number if held else index
        held += raw.strip()
        if held.endswith("\\"):
            held = held[:-1].rstrip() + " "
            continue
        yield _line(file, number, held)
        held = ""
    if held:
        yield _line(file, number, held)


def _line(file: str, number: int, text: str) -> _Line:
    instruction, _, rest = text.strip().partition(" ")
    return _Line(file=file, number=number, instruction=instruction.upper(), rest=rest.strip())


def _from(line: _Line, draft: _Draft) -> None:
    if draft.base:
        raise line.refused("a second stage", "one FROM; nothing is built here, so there is nothing to stage")
    words = line.rest.split()
    if len(words) == 3 and words[1].upper() == "AS":
        words = words[:1]
    if len(words) != 1 or words[0].startswith("--"):
        raise line.refused("not one image", "give one image, such as python:3.12-slim")
    draft.base = words[0]


def _workdir(line: _Line, draft: _Draft) -> None:
    draft.workdir = str(PurePosixPath(draft.workdir) / _plain(line, line.rest))


def _env(line: _Line, draft: _Draft) -> None:
    draft.environment |= _pairs(line)


def _label(line: _Line, draft: _Draft) -> None:
    draft.labels |= _pairs(line)


def _copy(line: _Line, draft: _Draft) -> None:
    # An owner and a mode mean nothing to a process that runs as whoever runs the cloud.
    words = [word for word in _words(line) if not re.match(r"--(chown|chmod|link)\b", word)]
    if any(word.startswith("--") for word in words):
        raise line.refused("an option that needs a build", "COPY knows --chown, --chmod and --link here")
    if len(words) < 2:
        raise line.refused("no target", "give sources and a target, such as COPY . .")
    *sources, target = words
    for source in sources:
        if re.search(r"[*?\[]", source) or ".." in PurePosixPath(source).parts or source.startswith("<<"):
            raise line.refused(
                f"source {source!r}", "name files and folders below the Dockerfile, no patterns"
            )
    into = target.endswith("/") or target in (".", "./") or len(sources) > 1
    draft.copies.append(
        Copy(
            sources=tuple(source.lstrip("/") or "." for source in sources),
            target=str(PurePosixPath(draft.workdir) / target),
            into=into,
        )
    )


def _expose(line: _Line, draft: _Draft) -> None:
    for word in line.rest.split():
        if not re.fullmatch(r"\d{1,5}(/(tcp|udp))?", word):
            raise line.refused(f"{word!r} is no port", "give ports, such as 8080 or 8080/tcp")
        draft.ports.append(word if "/" in word else f"{word}/tcp")


def _user(line: _Line, draft: _Draft) -> None:
    draft.user = _plain(line, line.rest)


def _volume(line: _Line, draft: _Draft) -> None:
    draft.volumes += _array(line) if line.rest.startswith("[") else line.rest.split()


def _stop_signal(line: _Line, draft: _Draft) -> None:
    given = line.rest.upper()
    name = f"SIG{given.removeprefix('SIG')}"
    with_numbers = {str(known.value): known.name for known in signal.Signals}
    name = with_numbers.get(given, name)
    if name not in signal.Signals.__members__:
        raise line.refused("no signal of this system", "give one such as SIGTERM, SIGINT or SIGQUIT")
    draft.stop_signal = name


def _command(line: _Line, draft: _Draft) -> None:
    draft.command = _array(line)


def _entrypoint(line: _Line, draft: _Draft) -> None:
    draft.entrypoint = _array(line)
    # As Docker has it: a command that came before belongs to another entry point.
    draft.command = []


def _run(line: _Line, draft: _Draft) -> None:
    if "<<" in line.rest:
        raise line.refused("a here-document", "write one command in a line, or continue it with \\")
    draft.not_executed.append(f"{line.number}: RUN {line.rest}")


_READERS: Mapping[str, Callable[[_Line, _Draft], None]] = {
    "FROM": _from,
    "WORKDIR": _workdir,
    "ENV": _env,
    "LABEL": _label,
    "COPY": _copy,
    "EXPOSE": _expose,
    "USER": _user,
    "VOLUME": _volume,
    "STOPSIGNAL": _stop_signal,
    "CMD": _command,
    "ENTRYPOINT": _entrypoint,
    "RUN": _run,
}


def _array(line: _Line) -> list[str]:
    """The exec form: a JSON array of strings."""
    try:
        found = json.loads(line.rest)
    except ValueError:
        found = None
    if not isinstance(found, list) or not found or not all(isinstance(word, str) for word in found):
        raise line.refused(
            "not the exec form",
            f'write a JSON array such as {line.instruction} ["python", "app.py"]; '
            "a shell would keep the stop signal from the program",
        )
    return found


def _words(line: _Line) -> list[str]:
    if line.rest.startswith("["):
        return _array(line)
    try:
        return [_plain(line, word) for word in shlex.split(line.rest)]
    except ValueError as error:
        raise line.refused(str(error), "close the quotes") from None


def _pairs(line: _Line) -> dict[str, str]:
    """`A=1 B="two words"`, or the old `A two words`."""
    name, _, value = line.rest.partition(" ")
    if "=" not in name:
        if not value.strip():
            raise line.refused("no value", f"write {line.instruction} NAME=value")
        return {name: _plain(line, value.strip())}
    found = {}
    for word in _words(line):
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise line.refused(f"{word!r} has no value", f"write {line.instruction} NAME=value")
        found[key] = text
    return found


def _plain(line: _Line, text: str) -> str:
    if not text:
        raise line.refused("nothing is given", "give a value")
    if re.search(r"\$\{?\w", text):
        raise line.refused("variables are not replaced here", "write the value itself")
    return text
