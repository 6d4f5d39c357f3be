"""Load from a process of its own, which a test can't slow down: `python -m tests.cloud.sending`.

Sends until its standard input is closed, waits for the last answers, and prints what came of it as JSON.
"""

import argparse
import json
import sys

from localcloud.load import Load


def main() -> None:
    """Sends as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--slow-path", default="/")
    parser.add_argument("--slow-share", type=float, default=0.0)
    given = parser.parse_args()
    load = Load(
        given.url,
        rate_per_second=given.rate,
        connections=200,
        slow_share=given.slow_share,
        slow_path=given.slow_path,
    )
    with load.background() as report:
        sys.stdout.write("sending\n")
        sys.stdout.flush()
        sys.stdin.read()
    total = report.total
    found = {
        "sent": total.sent,
        "ok": total.ok,
        "failed": dict(total.failed),
        "versions": dict(total.versions),
        "errors": dict(total.errors),
        "latencies": {str(percent): total.percentile(percent) for percent in (50, 99)},
        "samples": report.samples,
        "late_seconds": report.late_seconds,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
