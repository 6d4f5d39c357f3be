"""The two colours of a service. Without Pulumi, so that a command can use it at no cost."""

from typing import Literal

Colour = Literal["blue", "green"]

COLOURS: tuple[Colour, Colour] = ("blue", "green")


def owned_by(service: str, colour: Colour) -> str:
    """Logical name of what a service has for a colour; what goes with it adds a word: `api-blue-cpu`."""
    return f"{service}-{colour}"


def other(colour: Colour) -> Colour:
    """The colour beside this one."""
    return "green" if colour == "blue" else "blue"
