"""Words that the Markdown and the terminal share. Pure."""

import unicodedata

from review.changes import Change, Drift

# A value that is longer is cut: the JSON report has all of it.
LONGEST_VALUE = 240


def short_type(type_: str) -> str:
    """`aws:rds/instance:Instance` as `aws.rds.Instance`; what has another form as it is."""
    parts = type_.split(":")
    if len(parts) != 3:
        return type_
    package, module, name = parts
    return ".".join(part for part in (package, module.split("/")[0], name) if part != "index")


def visible(text: str) -> str:
    """The text in one line, with every character that can't be seen spelled out.

    A right-to-left mark or a zero-width space may make a value look like another.
    """
    if text.isprintable():
        return text
    return "".join(
        f"\\u{{{ord(character):x}}}"
        if unicodedata.category(character) in ("Cf", "Cc", "Zl", "Zp")
        else character
        for character in text.replace("\n", "↵").replace("\t", " ")
    )


def cut(text: str, longest: int = LONGEST_VALUE) -> str:
    """The text, or its beginning and how long it is."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 30]}… ({len(text):,} characters)"


def shown(value: str | None) -> str | None:
    """A property's value as it may stand in a table; None for nothing."""
    if value is None:
        return None
    return cut(visible(value)) or "(empty)"


def consequence(change: Change) -> str:
    """What a replacement or a deletion means for what is in the resource; empty for all others."""
    if not change.loses:
        return ""
    kept = "AWS keeps the old one, the new one starts without" if change.retained else "loses"
    return f"{kept} {change.loses}"


def fate(drift: Drift) -> str:
    """What the plan does about a drift."""
    if drift.gone:
        return "is not there any more" + ("; this plan makes it again" if drift.undone else "")
    if drift.writer:
        return f"{drift.writer} may write this; the program leaves it alone"
    return "this plan changes it back" if drift.undone else "the program leaves it as it is"
