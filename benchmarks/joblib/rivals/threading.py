"""Threads of one process: a floor where the work releases the GIL, no rival."""

from __future__ import annotations

from benchmarks.joblib.rivals import Backend


class Rival(Backend):
    title = 'joblib with backend="threading"'
    name = "threading"
