"""Turn: one thread at a time does the work, and no wish is lost."""

from __future__ import annotations


def test_modules_load() -> None:
    import procession._engine

    assert procession._engine.__doc__
