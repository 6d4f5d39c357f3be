"""A table in memory that does what DynamoDB does, at the pace that thousands of scenarios need."""

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from release.table import Check, Delete, Item, Key, Put, Write


class DictTable:
    """Items by key; `around` is called with each operation, so that a test can let it fail."""

    def __init__(self, around: Callable[[str, Callable[[], Any]], Any] | None = None) -> None:
        self.items: dict[tuple[str, str], str] = {}
        self.around = around or (lambda _, act: act())
        self._lock = threading.Lock()

    def get(self, key: Key) -> Item | None:
        found: Item | None = self.around(f"table.get {key.pk}", lambda: self._get(key.pk, key.sk))
        return found

    def query(self, pk: str, prefix: str = "") -> list[Item]:
        found: list[Item] = self.around(f"table.query {pk}", lambda: self._query(pk, prefix))
        return found

    def write(self, writes: Sequence[Write]) -> bool:
        return bool(self.around("table.write", lambda: self._write(writes)))

    def _get(self, pk: str, sk: str) -> Item | None:
        found = self.items.get((pk, sk))
        return None if found is None else json.loads(found)

    def _query(self, pk: str, prefix: str) -> list[Item]:
        return [
            json.loads(item)
            for (each, sk), item in sorted(self.items.items())
            if each == pk and sk.startswith(prefix)
        ]

    def _write(self, writes: Sequence[Write]) -> bool:
        with self._lock:
            if not all(self._allows(write) for write in writes):
                return False
            for write in writes:
                if isinstance(write, Put):
                    self.items[write.item["pk"], write.item["sk"]] = json.dumps(dict(write.item))
                elif isinstance(write, Delete):
                    self.items.pop((write.key.pk, write.key.sk), None)
            return True

    def _allows(self, write: Write) -> bool:
        if isinstance(write, Delete):
            return True
        if isinstance(write, Check):
            found, equal = self._get(write.key.pk, write.key.sk), write.equal
        else:
            found, equal = self._get(write.item["pk"], write.item["sk"]), write.equal
            if write.absent:
                return found is None
            if not equal:
                return True
        return found is not None and all(found.get(name) == value for name, value in equal.items())
