"""Build and run the C core's own tests (tests/core/test_*.c) under the sanitizers.

Every test runs under AddressSanitizer and UndefinedBehaviorSanitizer, tests of what several
threads share also under ThreadSanitizer. A file called test_crash_*.c kills itself at fail points
and is built with them. With arguments, only the tests that have one of them in their name.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core"
TESTS = ROOT / "tests/core"
BUILD = ROOT / "build/core-tests"
CC = shlex.split(os.environ.get("CC", "cc"))
FLAGS = shlex.split(
    "-std=c11 -g -O1 -fno-omit-frame-pointer -Wall -Wextra -Werror -pthread"
    # gcc warns that ThreadSanitizer does not know fences; compilers without the warning let it be.
    " -Wno-unknown-warning-option -Wno-tsan"
)
PATIENCE = 600
"""Seconds for one test program; each has watchdogs of its own that end it earlier."""


class Flavour(NamedTuple):
    """One way to build: a folder's name, the sanitizers, more flags, how to run it."""

    name: str
    sanitizers: str
    flags: tuple[str, ...] = ()
    launcher: tuple[str, ...] = ()


class Job(NamedTuple):
    """One test program."""

    source: Path
    flavour: Flavour

    @property
    def binary(self) -> Path:
        return BUILD / self.flavour.name / self.source.stem

    def __str__(self) -> str:
        return f"{self.source.stem} [{self.flavour.name}]"


def flavours_of(source: Path) -> list[Flavour]:
    """How a test is to be built."""
    if source.stem.startswith("test_crash"):
        return [Flavour("crash", "address,undefined", ("-DPCN_FAILPOINTS",))]
    flavours = [Flavour("memory", "address,undefined")]
    if re.match(r"test_(ring|lock|doorbell|channel)|.*_threads$", source.stem):
        flavours.append(Flavour("threads", "thread", launcher=_steady_addresses()))
    return flavours


def _steady_addresses() -> tuple[str, ...]:
    """ThreadSanitizer of older compilers can not live with much address randomisation."""
    setarch = shutil.which("setarch")
    if setarch is None or subprocess.run([setarch, "-R", "true"], check=False).returncode != 0:
        return ()
    return (setarch, "-R")


def available(flavour: Flavour) -> Flavour:
    """The flavour, without its sanitizers if this compiler has no runtime for them."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "probe.c")
        program.write_text("int main(void) { return 0; }\n")
        binary = Path(folder, "probe")
        command = [*CC, f"-fsanitize={flavour.sanitizers}", str(program), "-o", str(binary)]
        built = subprocess.run(command, capture_output=True, check=False).returncode == 0
        runs = [*flavour.launcher, str(binary)]
        if built and subprocess.run(runs, capture_output=True, check=False).returncode == 0:
            return flavour
    print(f"core-test: {CC[0]} has no -fsanitize={flavour.sanitizers} here: running without it")
    return flavour._replace(sanitizers="")


def compile_all(jobs: list[Job], workers: ThreadPoolExecutor) -> None:
    """Compile what is not up to date. Raises CalledProcessError."""
    headers = [*CORE.glob("*.h"), *TESTS.glob("*.h"), Path(__file__)]
    cores = sorted(CORE.glob("*.c"))
    units = {(job.flavour, source) for job in jobs for source in [*cores, job.source]}
    for _ in workers.map(lambda unit: _compile(unit[0], unit[1], headers), sorted(units)):
        pass
    for _ in workers.map(lambda job: _link(job, cores), jobs):
        pass


def _object(flavour: Flavour, source: Path) -> Path:
    return BUILD / flavour.name / "objects" / f"{source.stem}.o"


def _sanitizing(flavour: Flavour) -> list[str]:
    if not flavour.sanitizers:
        return []
    return [f"-fsanitize={flavour.sanitizers}", "-fno-sanitize-recover=all"]


def _compile(flavour: Flavour, source: Path, headers: list[Path]) -> None:
    target = _object(flavour, source)
    if _is_current(target, [source, *headers]):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    flags = [*FLAGS, *_sanitizing(flavour), *flavour.flags, f"-I{CORE}", f"-I{TESTS}"]
    subprocess.run([*CC, *flags, "-c", str(source), "-o", str(target)], check=True)


def _link(job: Job, cores: list[Path]) -> None:
    objects = [_object(job.flavour, source) for source in [*cores, job.source]]
    if not _is_current(job.binary, objects):
        flags = [*_sanitizing(job.flavour), "-pthread", "-o", str(job.binary)]
        subprocess.run([*CC, *map(str, objects), *flags], check=True)


def _is_current(target: Path, inputs: list[Path]) -> bool:
    if not target.exists():
        return False
    built = target.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns < built for path in inputs)


def run(job: Job) -> str | None:
    """Run one test program; None, or its output and how it ended."""
    environment = {
        **os.environ,
        "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1",
    }
    try:
        done = subprocess.run(
            [*job.flavour.launcher, str(job.binary)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return f"{error.output or ''}\nstill running after {PATIENCE} s"
    return None if done.returncode == 0 else f"{done.stdout}\nexit status {done.returncode}"


def main(wanted: list[str]) -> int:
    """Build and run; exit status 1 if a test fails or nothing was found to run."""
    sources = [
        path
        for path in sorted(TESTS.glob("test_*.c"))
        if not wanted or any(word in path.stem for word in wanted)
    ]
    if not sources:
        print("core-test: no tests found", file=sys.stderr)
        return 1
    pairs = [(source, flavour) for source in sources for flavour in flavours_of(source)]
    built = {flavour: available(flavour) for flavour in {flavour for _, flavour in pairs}}
    jobs = [Job(source, built[flavour]) for source, flavour in pairs]
    failed: dict[Job, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        try:
            compile_all(jobs, workers)
        except subprocess.CalledProcessError as error:
            print(f"core-test: failed: {shlex.join(error.cmd)}", file=sys.stderr)
            return 1
        try:
            for job, trouble in zip(jobs, workers.map(run, jobs), strict=True):
                print(f"{job}: {'FAILED' if trouble else 'ok'}", flush=True)
                if trouble:
                    failed[job] = trouble
        finally:  # last: of a long log one may have no more than the end
            for job, trouble in failed.items():
                print(f"\n{job}:\n{trouble}", flush=True)
    print(f"core-test: {len(jobs) - len(failed)} passed, {len(failed)} failed", *failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
