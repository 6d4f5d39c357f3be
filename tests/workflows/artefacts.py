"""What one job keeps and another one gets: a folder stands in for GitHub's artefacts."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

Kept = bytes | dict[str, bytes]


@dataclass(frozen=True, kw_only=True)
class Artefacts:
    """folder: the checkout. kept: by the artefact's name, a file's content, or those of a folder's files."""

    folder: Path
    kept: dict[str, Kept] = field(default_factory=dict)

    def upload(self, inputs: Mapping[str, str], given: MutableMapping[str, str]) -> None:
        """Keeps the file or folder that the step names."""
        del given
        path = self.folder / inputs["path"]
        if path.is_dir():
            self.kept[inputs["name"]] = {file.name: file.read_bytes() for file in path.iterdir()}
        elif path.exists() or inputs.get("if-no-files-found") != "ignore":
            self.kept[inputs["name"]] = path.read_bytes()

    def download(self, inputs: Mapping[str, str], given: MutableMapping[str, str]) -> None:
        """Writes it into the folder that the step names; a single file is called as its artefact is."""
        del given
        kept, folder = self.kept[inputs["name"]], self.folder / inputs.get("path", ".")
        folder.mkdir(parents=True, exist_ok=True)
        files = {f"{inputs['name']}.json": kept} if isinstance(kept, bytes) else kept
        for name, content in files.items():
            (folder / name).write_bytes(content)
