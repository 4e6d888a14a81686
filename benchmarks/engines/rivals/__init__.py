"""One file per rival: a class `Rival` with the methods of ``benchmarks.engines.user``."""

from __future__ import annotations
