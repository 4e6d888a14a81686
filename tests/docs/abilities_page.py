"""The table of what each engine can do, in the how-to about backends, written from the code.

``python -m tests.docs.abilities_page`` writes it anew.
"""

from __future__ import annotations

from procession._backends.abilities import Ability
from procession._backends.naming import abilities_by_name
from tests.docs.pages import ROOT

PAGE = ROOT / "docs/howto/backends.md"
BEGIN = "<!-- The table is written by tests/docs/abilities_page.py. -->\n\n"
END = "\n<!-- The end of the table. -->"


def table() -> list[list[str]]:
    """Its rows: a heading, and what each ability is with a yes or no for each engine."""
    engines = abilities_by_name()
    rows = [["", *engines]]
    for ability in Ability:
        marks = ["yes" if ability in able else "no" for able in engines.values()]
        rows.append([str(ability.value), *marks])
    return rows


def written() -> list[list[str]]:
    """The rows that stand on the page."""
    text = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in rows if not row[0].startswith("---")]


def main() -> None:
    """Write the table into the page."""
    head, *rows = table()
    lines = [head, ["---"] * len(head), *rows]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    PAGE.write_text(before + begin + text + end + after)


if __name__ == "__main__":
    main()
