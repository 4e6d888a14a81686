"""What happens when a worker has ended: every case of the table."""

from __future__ import annotations


def test_modules_load() -> None:
    import procession._engine

    assert procession._engine.__doc__
