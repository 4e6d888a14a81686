"""Rules for all files: sizes, names, and what must not stand in them."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.quality.imports import ROOT
from tools import check_sync

MOST_LINES = 500
_EMPTY_NAMES = {"utils", "common", "helpers", "misc"}

# With brackets, or this file would be the first to be found.
_FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.])/(?:[r]oot|[w]ork|[h]ome|[U]sers)/",
    "the host of a package index": r"[p]ypi\.org|[p]ythonhosted|/[s]imple/|[i]ndex-url",
    "the number of a ticket": r"\b[i]ssues? #?\d",
}
_FOLDERS = ("core", "src", "tests", "tools", "benchmarks", "examples", "docs", ".ci")


@cache
def files() -> tuple[Path, ...]:
    """All files that are or would be committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if listing.returncode == 0:
        found = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    else:  # an unpacked sdist
        found = [*ROOT.glob("*.*"), *(p for d in _FOLDERS for p in (ROOT / d).rglob("*.*"))]
    return tuple(path for path in sorted(found) if path.is_file())


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace")


def test_the_files_are_found() -> None:
    assert {ROOT / "setup.py", ROOT / "core/ring.c", Path(__file__)} <= set(files())


def test_no_file_is_long() -> None:
    counts = {
        path.relative_to(ROOT): len(path.read_text().splitlines())
        for path in files()
        if path.suffix in {".py", ".pyi", ".c", ".h"}
    }
    assert not {str(path): count for path, count in counts.items() if count > MOST_LINES}


def test_names_say_what_is_inside() -> None:
    assert not [str(path) for path in files() if _EMPTY_NAMES & {path.stem, path.parent.name}]


@pytest.mark.parametrize("what", _FORBIDDEN)
def test_nothing_names(what: str) -> None:
    pattern = re.compile(_FORBIDDEN[what])
    places = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files()
        for number, line in enumerate(_text(path).splitlines(), 1)
        if pattern.search(line)
    ]
    assert not places, "\n".join(places)


def test_this_checkout_is_not_named() -> None:
    names = [str(path) for path in (ROOT, Path.home()) if len(path.parts) > 2]
    assert not [str(path) for path in files() if any(name in _text(path) for name in names)]


def test_the_core_knows_no_python() -> None:
    core = [path for path in files() if path.parent.name == "core"]
    assert core
    assert not [str(path) for path in core if "Python.h" in _text(path)]


def test_atomics_have_one_door() -> None:
    using = [
        str(path.relative_to(ROOT))
        for path in files()
        if path.suffix in {".c", ".h"} and re.search(r"<stdatomic\.h>", path.read_text())
    ]
    assert using == ["core/atomics.h"]


def test_ordered_atomics_name_their_partners() -> None:
    assert not list(check_sync.complaints(check_sync.sources(ROOT)))


def test_check_sync_finds_what_is_missing(tmp_path: Path) -> None:
    source = tmp_path / "part.c"
    source.write_text(
        "/* SYNC(part.edge): one end */\n"
        "pcn_store_release32(&word, 1);\n"
        "pcn_store_relaxed32(&word, 1);\n"
        "pcn_lock_acquire(&lock);\n"
        "pcn_load_acquire64(&word); /* SYNC(part.edge) */\n"
        "pcn_fence_seq_cst(); /* SYNC(part.lonely) */\n"
        "\n\n\n\n"
        "pcn_cas_acquire32(&word);\n"
    )
    found = [text.removeprefix(str(source)) for text in check_sync.complaints([source])]
    assert found == [
        ":11: an ordered atomic without SYNC(...): pcn_cas_acquire32(&word);",
        ":6: SYNC(part.lonely) has no other end",
    ]
