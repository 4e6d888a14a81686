"""Hold that every ordered atomic in the C code names its partner.

A non-relaxed atomic operation is half of something: it pairs with another one elsewhere. Each has
a comment ``SYNC(part.edge): why`` on its line or within the three lines above, and each name
occurs at least twice, at both ends of the edge.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

REACH = 3
"""How many lines above the call the comment may stand."""

_NAME = re.compile(r"SYNC\(([\w.]+)\)")
_ORDERED = re.compile(
    r"\bpcn_(?:load|store|cas|exchange|add|sub|fence|fetch_[a-z]+)_"
    r"(?:acquire|release|acq_rel|seq_cst)(?:32|64)?\s*\("
)
# The definitions of the operations, not uses of them; SYNC(...) stands there as a placeholder.
_DEFINITIONS = "atomics.h"


def sources(root: Path) -> list[Path]:
    """The C files of the core and of the binding."""
    folders = (root / "core", root / "src/procession/_core")
    files = (path for folder in folders for path in folder.glob("*.[ch]"))
    return sorted(path for path in files if path.name != _DEFINITIONS)


def complaints(files: Iterable[Path]) -> Iterator[str]:
    """What is wrong, one line each."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in files:
        lines = path.read_text().splitlines()
        for index, line in enumerate(lines):
            place = f"{path}:{index + 1}"
            for name in _NAME.findall(line):
                places[name].append(place)
            if _ORDERED.search(line):
                above = lines[max(0, index - REACH) : index + 1]
                if not any(_NAME.search(text) for text in above):
                    yield f"{place}: an ordered atomic without SYNC(...): {line.strip()}"
    for name, found in sorted(places.items()):
        if len(found) == 1:
            yield f"{found[0]}: SYNC({name}) has no other end"


def main() -> int:
    """Check the repository; exit status 1 if anything is wrong."""
    found = list(complaints(sources(Path(__file__).parents[1])))
    for complaint in found:
        print(complaint, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
