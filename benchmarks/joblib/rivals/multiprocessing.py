"""The standard library's pool, made anew for each call."""

from __future__ import annotations

from benchmarks.joblib.rivals import Backend


class Rival(Backend):
    title = 'joblib with backend="multiprocessing"'
    name = "multiprocessing"
