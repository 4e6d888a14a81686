"""Build a copy of the package with fail points compiled in, and print where it is.

Crash tests run child interpreters with PYTHONPATH set to it. Built anew only if a source has
changed since. It is a whole copy, so what a child imports is all of one build.
"""

from __future__ import annotations

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


def _inputs() -> Iterator[Path]:
    yield from (ROOT / "setup.py", ROOT / "pyproject.toml")
    for folder in (ROOT / "core", ROOT / "src"):
        for path in folder.rglob("*"):
            if path.suffix in {".c", ".h", ".py", ".pyi", ".typed"}:
                yield path
            elif path.is_dir() and path.suffix != ".egg-info" and path.name != "__pycache__":
                yield path  # its time tells that a file was removed


def is_current() -> bool:
    """Whether the copy is at least as new as every source."""
    if not _STAMP.exists():
        return False
    built = _STAMP.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns < built for path in _inputs())


def build() -> None:
    """Build the copy. Raises CalledProcessError if that fails."""
    for folder in (TARGET, _SCRATCH):
        shutil.rmtree(folder, ignore_errors=True)
    # Made before the sources are read: an edit during the build counts as newer.
    TARGET.mkdir(parents=True)
    _STAMP.touch()
    began = _STAMP.stat().st_mtime_ns
    _STAMP.unlink()
    command = ["setup.py", "--quiet", "build", "-b", str(_SCRATCH), "--build-lib", str(TARGET)]
    subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PROCESSION_FAILPOINTS": "1"},
        stdout=sys.stderr,
        check=True,
    )
    _STAMP.touch()
    os.utime(_STAMP, ns=(began, began))


def main() -> int:
    """Build if needed; print the folder."""
    if not is_current():
        build()
    print(TARGET)
    return 0


if __name__ == "__main__":
    sys.exit(main())
