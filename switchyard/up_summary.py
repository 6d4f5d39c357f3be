"""What `switchyard up` has applied, as short Markdown for the summary of a GitHub job. Pure."""

from review.digest import Step
from review.escaping import code, in_html
from switchyard.up import Author, Ended
from switchyard.up_record import Outcome

# So many operations are listed; the record of the job has the others.
LISTED = 40
LONGEST_REASON = 3000

_HEADINGS = {
    Outcome.SUCCEEDED: "applied",
    Outcome.UNCHANGED: "as it should be, nothing was done",
    Outcome.FAILED: "failed",
    Outcome.INTERRUPTED: "interrupted",
    Outcome.LOCKED: "locked by somebody else, nothing was done",
    Outcome.REFUSED: "refused, nothing was done",
}


def markdown(stack: str, ended: Ended, author: Author) -> str:
    """The summary; ends with a newline."""
    good = ended.outcome in (Outcome.SUCCEEDED, Outcome.UNCHANGED)
    plan = ended.report.plan if ended.report else None
    facts = {
        "Done": ended.done,
        "By": code(author.actor, table=True),
        "Commit": code(author.commit or "", table=True),
        "Plan": code(plan.digest if plan else "", table=True),
        "Took": f"{ended.duration_seconds:.0f} s" if ended.duration_seconds else "",
        "Not on record": code(ended.unrecorded, table=True),
    }
    lines = [
        f"### {'✅' if good else '❌'} {code(stack)}: {_HEADINGS[ended.outcome]}",
        "",
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {text} |" for name, text in facts.items() if text),
        "",
    ]
    if ended.reason:
        reason = "\n".join(map(in_html, ended.reason[:LONGEST_REASON].splitlines()))
        lines += [f"<pre>{reason}</pre>", ""]
    if plan and plan.steps and ended.outcome is Outcome.SUCCEEDED:
        lines += _operations(plan.steps)
    return "\n".join(lines) + "\n"


def _operations(steps: tuple[Step, ...]) -> list[str]:
    rows = [f"- {code(step.operation)} {code(step.urn.rpartition('::')[2])}" for step in steps[:LISTED]]
    more = [f"- and {len(steps) - LISTED} more"] if len(steps) > LISTED else []
    return [f"<details><summary>{len(steps)} operations</summary>", "", *rows, *more, "", "</details>", ""]
