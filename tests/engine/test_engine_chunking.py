"""Sizes of chunks: all the input, evenly spread, in pieces that are worth a message."""

from __future__ import annotations


def test_modules_load() -> None:
    import procession._engine

    assert procession._engine.__doc__
