"""Run commands side by side, each with processes and a ``/dev/shm`` of its own.

    tools/lanes.py COMMAND...

Each is a line for a shell. Two run at a time, the others when a place is free: many tests wait more
than they work, and with more of them two CPUs are so busy that some take as long as hangs. Every
line of output has the number of its command before it; what those that failed have printed is shown
once more at the end. Where the system does not allow a command to be alone (it takes root), one
runs after the other. Exit code 1 if one of them failed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

PLACES = 2
ALONE = (
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
    *("bash", "-c", 'mount -t tmpfs tmpfs /dev/shm && bash -euc "$1"; exit $?', "bash"),
)
TOGETHER = ("bash", "-euc")
SHOWN_AGAIN = 400
"""Lines at most, of the end of a command's output."""

_start = time.monotonic()


def say(text: str) -> None:
    """Print a line, and when it was."""
    print(f"==== {text} ({time.monotonic() - _start:.0f} s since the start)", flush=True)


def run(prefix: tuple[str, ...], number: int, command: str) -> list[str] | None:
    """Run it to its end: what it printed if it failed."""
    say(f"{number}: {command}")
    lines = []
    with subprocess.Popen(
        [*prefix, command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            print(f"{number}| {line}", end="" if line.endswith("\n") else "\n", flush=True)
    say(f"{number}: " + (f"FAILED, {process.returncode}" if process.returncode else "passed"))
    return lines if process.returncode else None


def main(commands: list[str]) -> int:
    """Run all of them; the exit code."""
    is_alone = subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0
    prefix, places = (ALONE, PLACES) if is_alone else (TOGETHER, 1)
    threads = ThreadPoolExecutor(places)
    runs = [threads.submit(run, prefix, number, line) for number, line in enumerate(commands, 1)]
    try:
        threads.shutdown(wait=True)
    except KeyboardInterrupt:  # those that run have got it, too
        threads.shutdown(wait=True, cancel_futures=True)
        raise
    failed = 0
    for number, (command, ended) in enumerate(zip(commands, runs, strict=True), 1):
        lines = ended.result()
        if lines is not None:
            failed += 1
            print(f"\n==== FAILED, {number}: {command}")
            print("".join(lines[-SHOWN_AGAIN:]), end="")
    say(f"{failed} of {len(commands)} failed" if failed else "all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
