"""Build a copy of the package with fail points compiled in, and print where it is.

Crash tests run child interpreters with PYTHONPATH set to it. Built anew only if a source has
changed since. It is a whole copy, so what a child imports is all of one build.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "build/failpoints"
_SCRATCH = ROOT / "build/failpoints.tmp"
_STAMP = TARGET / ".built"
_LOCK = ROOT / "build/failpoints.lock"


def _inputs() -> Iterator[Path]:
    yield from (ROOT / "setup.py", ROOT / "pyproject.toml")
    for folder in (ROOT / "core", ROOT / "src"):
        for path in folder.rglob("*"):
            if path.suffix in {".c", ".h", ".py", ".pyi", ".typed"}:
                yield path


def _names(inputs: list[Path]) -> str:
    return "".join(f"{path.relative_to(ROOT)}\n" for path in sorted(inputs))


def is_current() -> bool:
    """Whether the copy was made of the same sources, and is newer than each."""
    if not _STAMP.exists():
        return False
    built, inputs = _STAMP.stat().st_mtime_ns, list(_inputs())
    if _STAMP.read_text() != _names(inputs):
        return False
    return all(path.stat().st_mtime_ns < built for path in inputs)


def build() -> None:
    """Build the copy. Raises CalledProcessError if that fails."""
    for folder in (TARGET, _SCRATCH):
        shutil.rmtree(folder, ignore_errors=True)
    # Made before the sources are read: an edit during the build counts as newer.
    TARGET.mkdir(parents=True)
    _STAMP.touch()
    began = _STAMP.stat().st_mtime_ns
    _STAMP.unlink()
    names = _names(list(_inputs()))
    command = ["setup.py", "--quiet", "build", "-b", str(_SCRATCH), "--build-lib", str(TARGET)]
    subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PROCESSION_FAILPOINTS": "1"},
        stdout=sys.stderr,
        check=True,
    )
    _STAMP.write_text(names)
    os.utime(_STAMP, ns=(began, began))


def main() -> int:
    """Build if needed; print the folder. Who comes meanwhile waits."""
    TARGET.parent.mkdir(exist_ok=True)
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_current():
            build()
    print(TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
