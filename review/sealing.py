"""What seals the secrets of a stack that does not exist yet. Pure.

Left alone, the engine makes every new stack with a passphrase, whatever the stack's settings file names, and
takes the key that the file has out of it.
"""

from collections.abc import Mapping
from typing import Any

from bootstrap.inputs import SECRETS_KEY_ALIAS

# What a settings file may name that is no key service: the backend's own way, and a passphrase.
NO_SERVICE = ("default", "passphrase")


def provider_of(settings: Mapping[str, Any]) -> str | None:
    """The provider that the settings file names, None if it names none."""
    named = settings.get("secretsprovider")
    return str(named) if named else None


def is_sealed(settings: Mapping[str, Any]) -> bool:
    """Whether the settings file can only be used with its own key or passphrase.

    Where it holds nothing encrypted, a state that is thrown away may be sealed with anything instead. A salt
    holds the engine to the passphrase that it was made of.
    """
    return "encryptionsalt" in settings or _holds_encrypted(settings.get("config"))


def _holds_encrypted(value: Any) -> bool:
    if isinstance(value, dict):
        return set(value) == {"secure"} or any(map(_holds_encrypted, value.values()))
    return isinstance(value, list) and any(map(_holds_encrypted, value))


def can_be_sealed(settings: Mapping[str, Any], variables: Mapping[str, str], backend: str) -> bool:
    """Whether a new stack has something to seal its secrets with: a key service, a passphrase, its backend.

    variables: the engine's environment. backend: its URL; Pulumi's own, at https, has a key for each stack.
    """
    named = provider_of(settings) or "default"
    if named not in NO_SERVICE or (named == "default" and backend.startswith(("https://", "http://"))):
        return True
    # An empty passphrase is one, an empty name of a file is none.
    return "PULUMI_CONFIG_PASSPHRASE" in variables or bool(variables.get("PULUMI_CONFIG_PASSPHRASE_FILE"))


def how_to_seal(stack: str, region: str) -> str:
    """What to tell a person who has nothing to seal a new stack with. region: where the stack is."""
    return (
        f"stack {stack} does not exist yet, and its settings do not name a key for its secrets; nothing was "
        "done. Make it once by hand:\n"
        f"  pulumi stack init {stack} --secrets-provider "
        f"'awskms://alias/{SECRETS_KEY_ALIAS}?region={region}'\n"
        f"and commit what that writes into Pulumi.{stack}.yaml"
    )
