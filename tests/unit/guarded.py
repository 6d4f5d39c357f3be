"""Servers that a process has started under a guard of its own."""

from contextlib import suppress

import psutil

from localcloud import guard


def servers(owner: int, name: str) -> list[psutil.Process]:
    """The living ones of that name. An embedded cloud below the owner has others, with its own guards."""
    below: list[psutil.Process] = []
    for child in psutil.Process(owner).children():
        with suppress(psutil.Error):
            if guard.__file__ in child.cmdline():
                below += child.children(recursive=True)
    found = []
    for process in below:
        with suppress(psutil.Error):
            if process.name() == name and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
