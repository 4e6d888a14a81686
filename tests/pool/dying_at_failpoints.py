"""A program with fail points: serves tasks with a worker that dies at its n-th one.

    python dying_at_failpoints.py FOLDER WORKERS KIND AT_LEAST

For n = 1, 2, 3 ... it makes a pool, whose first worker dies at the n-th fail point that it passes,
and gives it a few tasks. It prints a line of JSON for each pool, until one in which nobody died,
but AT_LEAST so many (with several workers, the first one may see no task).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path

from procession import _core
from procession.errors.pool import WorkerDied
from procession.pool import Pool

TASKS = 6
LARGE = 3 * _core.INLINE_LIMIT


def append(path: str, line: object) -> None:
    """Add a line to a file, in one piece."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{line}\n".encode())
    os.close(fd)


def lines(path: str) -> list[str]:
    """All lines of a file, if there is one."""
    return Path(path).read_text().splitlines() if os.path.exists(path) else []


def arm(starts: str, number: int) -> None:
    """The initializer: the first of all workers gets the fail point."""
    append(starts, os.getpid())
    if int(lines(starts)[0]) == os.getpid():
        _core.failpoint_arm(number)


def task(runs: str, index: int, data: bytes) -> tuple[int, bytes]:
    """Note that it runs, and give its arguments back."""
    append(runs, index)
    return index, data


def each(item: tuple[str, int, bytes]) -> tuple[int, bytes]:
    """The same for one argument."""
    return task(*item)


def outcomes_of(calls: Iterable[Callable[[], tuple[int, bytes]]]) -> list[str]:
    """One word for each outcome, in order; each call returns or raises one."""
    found = []
    for call in calls:
        try:
            index, data = call()
        except StopIteration:
            break
        except WorkerDied:
            found.append("died")
        else:
            found.append("wrong" if data.strip(b"x") or index != len(found) else "done")
    return found


def serve(pool: Pool, kind: str, runs: str) -> list[str]:
    """Have the tasks run; what became of each."""
    items = [(runs, index, b"x" * (LARGE if index % 2 else 10)) for index in range(TASKS)]
    if kind == "apply":
        return outcomes_of([pool.apply_async(task, item).get for item in items])
    results = pool.imap(each, items, 1 if kind == "imap" else 2)
    return outcomes_of(repeat(results.next))


def main(folder: str, workers: int, kind: str, at_least: int) -> None:
    """Die at every fail point once."""
    number = 0
    while True:
        number += 1
        starts, runs = f"{folder}/starts-{number}", f"{folder}/runs-{number}"
        pool = Pool(workers, arm, (starts, number))
        crew = [worker.child for worker in pool._engine.supervisor._crew]
        outcomes = serve(pool, kind, runs)
        channel = pool._engine.channel.validate()
        pool.close()
        pool.join()
        killed = [child for child in crew if child.poll() == -signal.SIGKILL]
        report = {
            "number": number,
            "outcomes": outcomes,
            "runs": lines(runs),
            "died": bool(killed) or "died" in outcomes or len(lines(starts)) > workers,
            "channel": channel,
            "arena": _core.validate(),
            "blocks": _core.arena_statistics()["blocks"],
        }
        print(json.dumps(report), flush=True)
        if number >= at_least and not report["died"]:
            return


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
