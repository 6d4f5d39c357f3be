"""DynamoDB does one write of a table after the other; moto's threads would do them through each other.

A conditional write checks and then writes. Between the two, another thread's write would go unseen, and two
processes would each be told that they alone had taken a lock.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

# Methods of moto's DynamoDBBackend that write items.
WRITES = ("put_item", "update_item", "delete_item", "transact_write_items")
_LOCK = threading.RLock()


def one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, with no other one of these under way."""

    @wraps(method)
    def alone(*given: Any, **named: Any) -> Any:
        with _LOCK:
            return method(*given, **named)

    return alone
