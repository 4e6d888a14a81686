"""What the how-to says that engines can do is what the code says."""

from __future__ import annotations

from procession._backends.naming import PLACES
from tests.docs.abilities_page import table, written


def test_the_table_is_the_codes() -> None:
    head, *rows = written()
    own_head, *own_rows = table()
    assert set(own_head) <= set(head)
    columns = [head.index(name) for name in own_head]
    assert [[row[at] for at in columns] for row in rows] == own_rows, (
        "run `python -m tests.docs.abilities_page`"
    )


def test_every_engine_has_a_column() -> None:
    head, *_ = written()
    assert set(head) == {"", "processes", *PLACES}
