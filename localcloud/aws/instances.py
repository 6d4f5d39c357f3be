"""moto keeps every object that it ever made, for a page of its server: a cloud that lives for hours can't."""

from typing import Any


def untracked(model: type, *_: Any, **__: Any) -> Any:
    """A new object of one of moto's models, held by its users alone; see `BaseModel.__new__`."""
    return object.__new__(model)
