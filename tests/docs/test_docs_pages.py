"""The pages hang together: links lead somewhere, lines are short, named files exist."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import ROOT, anchors, headings, links, pages, prose

LONGEST_LINE = 120
OWN = [page for page in pages() if page.parent.name not in ("core", "benchmarks")]

# What stands in backticks and looks like a path of this repository.
_PATH = re.compile(r"`((?:tests|docs|core|src|examples|benchmarks|tools|\.ci)/[\w./-]*)`")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", pages(), ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for number, target in links(page):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(f"{_name(page)}:{number}: {target}")
    assert dead == []


@pytest.mark.parametrize("page", OWN, ids=_name)
def test_named_files_exist(page: Path) -> None:
    missing = [
        f"{_name(page)}:{number}: {path}"
        for number, line in prose(page)
        for path in _PATH.findall(line)
        if not (ROOT / path).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", OWN, ids=_name)
def test_lines_are_short(page: Path) -> None:
    long = [
        f"{_name(page)}:{number}"
        for number, line in enumerate(page.read_text().splitlines(), 1)
        if len(line) > LONGEST_LINE and not line.startswith("### `")  # headings are one line
    ]
    assert long == []


@pytest.mark.parametrize("page", OWN, ids=_name)
def test_a_page_has_one_title(page: Path) -> None:
    assert [heading.level for heading in headings(page)].count(1) == 1


def test_every_page_can_be_reached() -> None:
    reached, pending = set[Path](), [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = (target.partition("#")[0] for _, target in links(page))
        files = ((page.parent / target).resolve() for target in targets if "://" not in target)
        pending += [file for file in files if file.is_file()]
    assert sorted(set(pages()) - reached) == []


def test_decisions_are_numbered_without_gaps() -> None:
    found = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [page.name[:4] for page in found] == [f"{n:04}" for n in range(1, len(found) + 1)]
    for page in found:
        titles = [heading.text for heading in headings(page) if heading.level == 2]
        assert titles == ["Context", "Decision", "Consequences"], page


def test_the_figures_stand_between_marks() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.count("<!-- figures -->") == 1
    assert text.count("<!-- /figures -->") == 1
