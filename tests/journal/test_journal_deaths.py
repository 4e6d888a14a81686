"""The whole family is killed, at every statement that the journal runs and behind each: the same
call, made again, loses nothing and runs nothing again that was recorded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from procession.pool import Pool
from tests.journal.counted import square
from tests.journal.runs import Runs, recorded
from tests.plugins.scripts import script_environment

ITEMS = 2

PROGRAM = """
import os, signal, sqlite3, sys
from procession import _journal
from procession._journal import file
from procession.pool import Pool
from tests.journal.counted import square

left = int(sys.argv[2])

def step(what):
    global left
    left -= 1
    if left == 0:
        os.killpg(0, signal.SIGKILL)

connect = sqlite3.connect

def traced(*args, **words):
    database = connect(*args, **words)
    database.set_trace_callback(step)  # called before each statement
    return database

file.sqlite3.connect = traced
record = file.Journal.record

def recording(self, call, rows):
    record(self, call, rows)
    step("behind the commit")

file.Journal.record = recording
with Pool(1) as pool:
    for value in pool.options(journal=sys.argv[1]).imap(square, range(int(sys.argv[3]))):
        step("behind the delivery")
print("through")
"""


def _killed_at(step: int, journal: Path, items: int) -> bool:
    """Have a program make the call, and die at a step; False if it got through."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(journal), str(step), str(items)],
        cwd=Path(__file__).parents[2],
        env=script_environment(RUN="killed"),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL)
    assert (done.returncode == 0) == (done.stdout == "through\n")
    return done.returncode != 0


@pytest.mark.watchdog(300)
def test_a_death_at_every_step(pool: Pool, runs: Runs, tmp_path: Path) -> None:
    step, dead = 0, True
    while dead:
        step += 1
        journal = tmp_path / f"{step}.sqlite"
        runs.path.unlink(missing_ok=True)
        dead = _killed_at(step, journal, ITEMS)
        before = recorded(journal) if journal.exists() else set()
        begun = len(runs.all())
        found = pool.options(journal=journal).map(square, range(ITEMS))
        assert found == [item**2 for item in range(ITEMS)]
        again = {item for _, item in runs.all()[begun:]}
        assert again == set(range(ITEMS)) - before
        if not dead:
            assert before == set(range(ITEMS))
    assert step > 15


def test_a_delivered_item_is_recorded(runs: Runs, tmp_path: Path) -> None:
    """Whoever has acted on a result must not see the item run again."""
    journal = tmp_path / "run.sqlite"
    program = (
        "import os, signal, sys\n"
        "from procession.pool import Pool\n"
        "from tests.journal.counted import square\n"
        "with Pool(2) as pool:\n"
        "    for value in pool.options(journal=sys.argv[1]).imap_unordered(square, range(50)):\n"
        "        os.write(1, b'%d\\n' % value)\n"
        "        if value == 49:\n"
        "            os.killpg(0, signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(journal)],
        cwd=Path(__file__).parents[2],
        env=script_environment(),
        stdout=subprocess.PIPE,
        start_new_session=True,
        timeout=60,
        check=False,
    )
    delivered = {int(line) for line in done.stdout.split()}
    assert done.returncode == -signal.SIGKILL
    assert 49 in delivered
    assert delivered <= {position**2 for position in recorded(journal)}
    assert os.path.exists(f"{journal}-wal")  # nothing was put in order
