"""Text from outside, put into GitHub's Markdown so that none of it is markup, a link or a mention. Pure."""

import html
import re

from review.wording import cut, visible

LONGEST_MESSAGE = 300

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")


def code(text: str, *, table: bool = False) -> str:
    """The text as code, whatever is in it."""
    text = visible(text)
    if table and "|" in text:
        # A table splits its cells before it looks for code.
        return f"<code>{re.sub(r'[^A-Za-z0-9 ,;=]', lambda match: f'&#{ord(match[0])};', text)}</code>"
    fence = "`" * (max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    edge = " " if text[:1] in ("`", " ") or text[-1:] in ("`", " ") else ""
    return f"{fence}{edge}{text}{edge}{fence}" if text else ""


def prose(text: str) -> str:
    """The text as words: no markup, no link to a person or an issue."""
    escaped = _SPECIAL.sub(r"\\\1", html.escape(visible(text), quote=False))
    return re.sub(r"(@|\\#|:(?=//)|www(?=\.))", "\\1\u200b", escaped)


def brief(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """The text in one line, cut."""
    return cut(visible(text), longest)


def in_html(text: str) -> str:
    """The text between HTML tags."""
    return html.escape(visible(text)).replace("@", "&#64;\u200b")
