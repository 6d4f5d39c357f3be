"""S3: a bucket policy that denies under a condition does not deny everybody."""

import json
from collections.abc import Callable
from typing import Any

Permission = Callable[[Any, str, str], Any]


def without_conditional_denials(judge: Permission) -> Permission:
    """FakeBucket.get_permission; moto knows no request's conditions, and takes each as met.

    What is left out here is not enforced at all: the embedded cloud has no TLS to ask for, and everybody in
    an account is its administrator.
    """

    def get_permission(self: Any, action: str, resource: str) -> Any:
        whole = self.policy
        if whole is None:
            return judge(self, action, resource)
        document = json.loads(whole)
        statements = document["Statement"]
        listed = statements if isinstance(statements, list) else [statements]
        kept = [one for one in listed if not (one["Effect"] == "Deny" and one.get("Condition"))]
        if len(kept) == len(listed):
            return judge(self, action, resource)
        return judge(_Judged(json.dumps({**document, "Statement": kept}).encode()), action, resource)

    return get_permission


class _Judged:
    """As much of a bucket as the judgement looks at."""

    def __init__(self, policy: bytes) -> None:
        self.policy = policy
