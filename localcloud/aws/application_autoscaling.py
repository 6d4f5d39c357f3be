"""Application Auto Scaling: the tags of a scalable target."""

import json
from collections.abc import Callable
from typing import Any


def with_tags(register: Callable[[Any], str]) -> Callable[[Any], str]:
    """RegisterScalableTarget; moto drops the tags that come with it."""

    def register_scalable_target(self: Any) -> str:
        answer = register(self)
        tags = json.loads(self.body).get("Tags") or {}
        self._tags(json.loads(answer)["ScalableTargetARN"]).update(tags)
        return answer

    return register_scalable_target


class Responses:
    """The actions, one method each, as moto names them."""

    # What moto's own class has: set here for the type checker.
    applicationautoscaling_backend: Any
    body: str

    def list_tags_for_resource(self) -> str:
        return json.dumps({"Tags": self._tags(json.loads(self.body)["ResourceARN"])})

    def tag_resource(self) -> str:
        given = json.loads(self.body)
        self._tags(given["ResourceARN"]).update(given["Tags"])
        return "{}"

    def untag_resource(self) -> str:
        given = json.loads(self.body)
        tags = self._tags(given["ResourceARN"])
        for key in given["TagKeys"]:
            tags.pop(key, None)
        return "{}"

    def _tags(self, arn: str) -> dict[str, str]:
        kept: dict[str, dict[str, str]] = vars(self.applicationautoscaling_backend).setdefault("tags", {})
        return kept.setdefault(arn, {})
