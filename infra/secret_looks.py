"""What looks like a secret, in settings, records and reports alike: here, so that none knows less. Pure."""

import re

_NAME = re.compile(
    r"passw(or)?d|passphrase|secret|token|credential|webhook|authorization|dsn$|connection[-_]?string"
    r"|(api|private|access|session|signing)[-_]?key|encryption[-_]?key$",
    re.IGNORECASE,
)
# `passwordLength`, `TOKEN_TTL_SECONDS`, `secretArn`: about a secret, and none.
_ABOUT_ONE = re.compile(
    r"((?i:length|days|seconds|minutes|hours|count|size|age|version|ttl|period|duration|enabled)"
    r"|(?i:[-_](arn|name|id|file|path))|Arn|Name|Id|File|Path)$"
)
# Credentials that can be told by their own form, and what stands before the @ of a URL.
VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"
    r"|https://hooks\.slack\.com/\S+|\bxox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|\bsk_live_\w+"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"
    r"|(?<=://)[^\s/:@\"']*:[^\s/@\"']+(?=@)",
    re.DOTALL,
)


def names_one(name: str) -> bool:
    """Whether what stands under this name is a secret."""
    return bool(_NAME.search(name)) and not _ABOUT_ONE.search(name)
