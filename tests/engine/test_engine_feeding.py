"""The feeder: what found no room in the ring is sent later, in order."""

from __future__ import annotations


def test_modules_load() -> None:
    import procession._engine

    assert procession._engine.__doc__
