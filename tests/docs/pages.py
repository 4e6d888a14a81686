"""The pages of the documentation, taken apart: fenced blocks, headings, links.

What the pages promise to the tests:

- A fence ``python`` is a whole program, and is run. What it prints stands in the fence ``text``
  right behind it (``text unordered`` where the order of the lines is left to chance); without one
  it prints nothing. ``...`` stands for any text, as in doctest.
- A first line ``# name.py`` gives the program that name, for commands on the same page.
- In a fence ``console``, lines with ``$`` are commands, and what follows each is its output.
- In a fence ``sh``, every line is a command.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```(.*)$")
_NAME = re.compile(r"^# (\w+\.py)$", re.MULTILINE)
_HEADING = re.compile(r"^(#{1,6}) (.+)$")
_LINK = re.compile(r"!?\[(?:[^\]`]|`[^`]*`)*\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$")


class Fence(NamedTuple):
    """A fenced block."""

    page: Path
    line: int
    info: str
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class Program(NamedTuple):
    """A program of a page, and what it prints."""

    fence: Fence
    name: str
    output: str
    ordered: bool


class Command(NamedTuple):
    """A command of a page, and what it prints; None where that is not said."""

    fence: Fence
    words: str
    output: str | None


class Heading(NamedTuple):
    """A heading."""

    level: int
    text: str


@cache
def pages() -> tuple[Path, ...]:
    """Every page of this repository."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return (*sorted(found), *sorted(ROOT.glob("core/*.md")), ROOT / "benchmarks/README.md")


@cache
def _parts(page: Path) -> tuple[tuple[Fence, ...], tuple[tuple[int, str], ...]]:
    """The fences, and the lines outside of them with their numbers."""
    fences: list[Fence] = []
    prose: list[tuple[int, str]] = []
    opened: tuple[int, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is None:
            if opened is None:
                prose.append((number, line))
            else:
                inside.append(line)
        elif opened is None:
            opened, inside = (number, fence[1].strip()), []
        else:
            text = "".join(f"{line}\n" for line in inside)
            fences.append(Fence(page, opened[0], opened[1], text))
            opened = None
    assert opened is None, f"{page}:{opened}: a fence without an end"
    return tuple(fences), tuple(prose)


def fences(page: Path) -> tuple[Fence, ...]:
    """The fenced blocks of a page, in order."""
    return _parts(page)[0]


def prose(page: Path) -> tuple[tuple[int, str], ...]:
    """The lines of a page outside of fences, each with its number."""
    return _parts(page)[1]


def programs(page: Path) -> list[Program]:
    """The programs of a page."""
    found = []
    blocks = fences(page)
    for index, fence in enumerate(blocks):
        if fence.info != "python":
            continue
        following = blocks[index + 1] if index + 1 < len(blocks) else fence
        shows = following.info.split()[:1] == ["text"]
        name = _NAME.match(fence.text)
        found.append(
            Program(
                fence,
                name[1] if name else f"line_{fence.line}.py",
                output=following.text if shows else "",
                ordered=following.info != "text unordered",
            )
        )
    return found


def commands(page: Path) -> list[Command]:
    """The commands of a page."""
    found: list[Command] = []
    for fence in fences(page):
        if fence.info == "sh":
            found += [Command(fence, line, None) for line in fence.text.splitlines()]
        elif fence.info == "console":
            for piece in re.split(r"^\$ ", fence.text, flags=re.MULTILINE)[1:]:
                words, _, output = piece.partition("\n")
                found.append(Command(fence, words, output))
    return found


def headings(page: Path) -> list[Heading]:
    """The headings of a page."""
    matches = (_HEADING.match(line) for _, line in prose(page))
    return [Heading(len(match[1]), match[2]) for match in matches if match]


def anchors(page: Path) -> set[str]:
    """The anchors that headings give, by GitHub's rule."""
    found: set[str] = set()
    for heading in headings(page):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.text)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        name, count = slug, 0
        while name in found:
            count += 1
            name = f"{slug}-{count}"
        found.add(name)
    return found


def links(page: Path) -> list[tuple[int, str]]:
    """The targets of a page's links, each with its line."""
    return [
        (number, match[1] or match[2])
        for number, line in prose(page)
        for match in _LINK.finditer(line)
    ]
