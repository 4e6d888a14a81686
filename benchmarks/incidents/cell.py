"""One subject and one kind of incident: `python -m benchmarks.incidents.cell ORDER FILE`.

As ``benchmarks.cell``: an Order as JSON comes in, a Finding as JSON is left in a file.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.cell import in_short, version_of, write_whole
from benchmarks.contract import NotOffered, Status
from benchmarks.incidents.acts import ACTS
from benchmarks.incidents.contract import Finding, Order, Overdue
from benchmarks.incidents.idleness import everybody_else
from benchmarks.incidents.stage import Stage
from benchmarks.incidents.subjects import SUBJECTS, Subject


def look(order: Order, stage: Stage) -> tuple[Finding, Subject | None]:
    """Do what the order says; the subject, if it was opened, is still open."""
    kind = SUBJECTS[order.subject]
    about = Finding(Status.FAILED, version_of(kind.distribution))
    subject = None
    try:
        subject = kind(order.workers, order.method)
        figures = ACTS[order.incident](subject, stage, order)
    except ModuleNotFoundError as error:
        return replace(about, status=Status.NOT_INSTALLED, reason=str(error)), None
    except NotOffered:
        return replace(about, status=Status.NOT_OFFERED), subject
    except Overdue as error:
        return replace(about, status=Status.HUNG, reason=str(error)), subject
    except Exception as error:
        return replace(about, reason=in_short(error)), subject
    return replace(about, status=Status.MEASURED, figures=figures), subject


def main() -> None:
    """Leave the finding in the file, and only then end the subject."""
    order = Order(**json.loads(sys.argv[1]))
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory:
        stage = Stage(Path(directory))
        finding, subject = look(order, stage)
        write_whole(Path(sys.argv[2]), json.dumps(asdict(finding)))
        if finding.status is Status.MEASURED and subject is not None:
            subject.close()
        stage.close()
    if finding.status is not Status.MEASURED:  # tasks that never end may still run
        for pid in everybody_else():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)


if __name__ == "__main__":
    main()
