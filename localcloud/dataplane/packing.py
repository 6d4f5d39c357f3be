"""An application folder as one layer of an image: the same files always make the same bytes.

What `.dockerignore` names stays out, and so do `.git` and Python's `__pycache__`, whose contents differ
from run to run.
"""

import io
import re
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from localcloud.dataplane.dockerfile import Copy
from localcloud.errors import CloudError

NEVER = (".git", "**/__pycache__")


class PackingError(CloudError):
    """A file that can't go into an image, or one that is asked for and missing."""


@dataclass(frozen=True, kw_only=True)
class _Rule:
    pattern: re.Pattern[str]
    keeps: bool


class Ignored:
    """What a `.dockerignore` leaves out: the last line that matches a path decides, `!` takes it back in."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines()]
        given = [line for line in lines if line and not line.startswith("#")]
        # Last, so that no line can take them back in.
        self._rules = [_rule(line) for line in (*given, *NEVER)]

    def __call__(self, path: str) -> bool:
        """Whether the path, relative and with `/`, stays out."""
        out = False
        for rule in self._rules:
            if rule.pattern.fullmatch(path):
                out = not rule.keeps
        return out


def _rule(line: str) -> _Rule:
    keeps = line.startswith("!")
    path = str(PurePosixPath("/", line.removeprefix("!").strip())).lstrip("/")
    # What matches a folder matches all that is in it.
    return _Rule(pattern=re.compile(_expression(path) + r"(/.*)?", re.DOTALL), keeps=keeps)


def _expression(pattern: str) -> str:
    """Go's filepath.Match with Docker's `**`, as a regular expression."""
    found, rest = "", pattern
    while rest:
        for text, meaning in (("**/", r"(.*/)?"), ("**", r".*"), ("*", r"[^/]*"), ("?", r"[^/]")):
            if rest.startswith(text):
                found, rest = found + meaning, rest[len(text) :]
                break
        else:
            group = re.match(r"\[\^?[^\]/]+\]", rest)
            taken = group[0] if group else rest[0]
            found, rest = found + (taken if group else re.escape(taken)), rest[len(taken) :]
    return found


def layer(directory: Path, copies: Sequence[Copy]) -> bytes:
    """A tar of what the COPY lines ask for, in the order of its paths. Raises PackingError.

    Uncompressed: another release of a compressor would make other bytes of the same files.
    """
    listed = directory / ".dockerignore"
    ignored = Ignored(listed.read_text() if listed.is_file() else "")
    entries: dict[str, Path] = {}
    for copy in copies:
        for source in copy.sources:
            entries |= _placed(directory, source, copy, ignored)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in sorted(_folders(entries)):
            tar.addfile(_header(folder, tarfile.DIRTYPE, 0o755))
        for name in sorted(entries):
            _add(tar, name, entries[name], directory)
    return packed.getvalue()


def _placed(directory: Path, source: str, copy: Copy, ignored: Ignored) -> Mapping[str, Path]:
    """Files by their path in the image: a folder gives its contents, a file itself."""
    origin = directory / source
    target = PurePosixPath(copy.target.lstrip("/"))
    if not origin.is_symlink() and origin.is_dir():
        return {str(target / path.relative_to(origin)): path for path in _walk(origin, directory, ignored)}
    if not origin.is_symlink() and not origin.exists():
        raise PackingError(f"COPY {source}: there is no {origin}; check the Dockerfile's COPY lines")
    relative = origin.relative_to(directory).as_posix()
    if ignored(relative):
        raise PackingError(f"COPY {source}: .dockerignore leaves {relative} out; take it out of one of them")
    return {str(target / origin.name if copy.into else target): origin}


def _walk(folder: Path, directory: Path, ignored: Ignored) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if not path.is_symlink() and path.is_dir():
            # A line with `!` may take back something below a folder that is out.
            yield from _walk(path, directory, ignored)
        elif not ignored(path.relative_to(directory).as_posix()):
            yield path


def _folders(names: Mapping[str, Path]) -> set[str]:
    parents = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    return parents - {"."}


def _header(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """Nobody's, of no time: whoever packs it and whenever, it is the same."""
    header = tarfile.TarInfo(name)
    header.type, header.mode, header.mtime = kind, mode, 0
    return header


def _add(tar: tarfile.TarFile, name: str, path: Path, directory: Path) -> None:
    if path.is_symlink():
        if not path.resolve().is_relative_to(directory.resolve()):
            raise PackingError(f"{path} links to {path.resolve()}, outside of {directory}; copy the file in")
        header = _header(name, tarfile.SYMTYPE, 0o777)
        header.linkname = str(path.readlink())
        if header.linkname.startswith("/"):
            raise PackingError(f"{path} links to an absolute path; make the link relative")
        tar.addfile(header)
        return
    if not path.is_file():
        raise PackingError(f"{path} is neither a file nor a folder nor a link; name it in .dockerignore")
    runs = path.stat().st_mode & stat.S_IXUSR
    header = _header(name, tarfile.REGTYPE, 0o755 if runs else 0o644)
    content = path.read_bytes()
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))


def unpack_layer(path: Path, into: Path) -> None:
    """Unpacks a layer; nothing of it can get outside of `into`, which is made."""
    into.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path) as tar:
        tar.extractall(into, filter="data")
