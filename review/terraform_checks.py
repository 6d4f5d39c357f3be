"""What checkov says of a rendered program, less what is skipped, resource by resource and with a reason.

checkov reads no skips in Terraform JSON (it does in HCL), and its own list of skipped checks covers every
resource at once. So its report is judged here:

    checkov -d . --framework terraform_json -o json > report.json
    python -m review.terraform_checks report.json prod.tf.json
"""

import fnmatch
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

INDENT = 2
SKIPS = Path(__file__).with_name("checkov.yaml")


class InvalidSkips(ValueError):
    """A file of skips that says something else."""


class InvalidReport(ValueError):
    """A report of checkov that proves nothing."""


class Skip(BaseModel):
    """A check that is not made of some resources, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: Annotated[
        str, Field(pattern=r"^CKV2?_[A-Z]+_\d+$", description="checkov's id, such as CKV_AWS_18")
    ]
    resource: Annotated[
        str,
        Field(
            pattern=r"^aws_[a-z0-9_]+\.\S+$",
            description="Terraform's address, such as aws_s3_bucket.edge-logs; * for any part of the name",
        ),
    ]
    reason: Annotated[str, Field(min_length=20, description="a sentence that a reviewer can judge")]

    def covers(self, address: str) -> bool:
        """Whether the resource at Terraform's address is meant."""
        return fnmatch.fnmatchcase(address, self.resource)


def skips(path: Path = SKIPS) -> list[Skip]:
    """The skips of a file. Raises InvalidSkips, and OSError where there is none."""
    try:
        content = yaml.safe_load(path.read_text())
        entries = content["skips"] if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise InvalidSkips(f"{path.name} has no list `skips:`")
        return [Skip.model_validate(entry) for entry in entries]
    except (yaml.YAMLError, KeyError) as error:
        raise InvalidSkips(
            f"{path.name} is not what it should be: {error}; it holds a list `skips:`"
        ) from None
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors())
        raise InvalidSkips(f"{path.name}: {told}. An entry has a check, a resource and a reason") from None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A check that a resource, by Terraform's address, does not pass."""

    check: str
    title: str
    resource: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A report of checkov. `skipped` have their reasons; `unused` are skips that nothing needed."""

    passed: int
    failed: Sequence[Finding]
    skipped: Sequence[Finding]
    unused: Sequence[Skip]


def judged(report: Mapping[str, Any], text: str, known: Sequence[Skip]) -> Judged:
    """What is left of checkov's JSON report on the file whose text is given.

    Raises InvalidReport for a report that says nothing: a scan that did not happen has not passed.
    """
    summary = report.get("summary") or report
    if not summary.get("passed"):
        raise InvalidReport(
            "checkov's report has no passed check: it looked at nothing; run it as "
            "`checkov -d FOLDER --framework terraform_json -o json`, on a file that ends with .tf.json"
        )
    if summary.get("parsing_errors"):
        raise InvalidReport("checkov could not read the file; nothing of it was checked")
    places = addresses(text)
    failed: list[Finding] = []
    skipped: list[Finding] = []
    used: set[Skip] = set()
    for entry in report["results"]["failed_checks"]:
        first, last = entry["file_line_range"]
        address = next((places[line] for line in range(first, last + 1) if line in places), entry["resource"])
        skip = next((s for s in known if s.check == entry["check_id"] and s.covers(address)), None)
        reason = skip.reason if skip else ""
        finding = Finding(check=entry["check_id"], title=entry["check_name"], resource=address, reason=reason)
        (skipped if skip else failed).append(finding)
        used |= {skip} if skip else set()
    return Judged(
        passed=summary["passed"],
        failed=failed,
        skipped=skipped,
        unused=[skip for skip in known if skip not in used],
    )


def addresses(text: str) -> dict[int, str]:
    """Terraform's address of the resource that begins in a line, counted from 1, in a text of `written`."""
    found, kind = {}, ""
    for number, line in enumerate(text.splitlines(), start=1):
        opened = re.match(r'^( +)"([^"]+)": \{', line)
        if opened is None:
            continue
        depth, name = len(opened.group(1)) // INDENT, opened.group(2)
        if depth == 2:
            kind = name
        elif depth == 3 and kind.startswith("aws_"):
            found[number] = f"{kind}.{name}"
    return found


def written(rendered: Mapping[str, Any]) -> str:
    """The rendered program as the text of a file, one value a line, the same for the same program."""
    return json.dumps(rendered, indent=INDENT, sort_keys=True) + "\n"


def main(report: str, file: str) -> int:
    """Tells what checkov found. Returns 1 if anything failed that is not skipped."""
    result = judged(json.loads(Path(report).read_text()), Path(file).read_text(), skips())
    for title, found in (("skipped", result.skipped), ("FAILED", result.failed)):
        for finding in sorted(found, key=lambda f: (f.check, f.resource)):
            sys.stdout.write(f"{title:8} {finding.check:12} {finding.resource}: {finding.title}\n")
            if finding.reason:
                sys.stdout.write(f"{'':21} {finding.reason}\n")
    for skip in result.unused:
        sys.stdout.write(f"unused   {skip.check:12} {skip.resource}\n")
    sys.stdout.write(
        f"{result.passed} passed, {len(result.failed)} failed, {len(result.skipped)} skipped with a reason\n"
    )
    return 1 if result.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
