"""Ours."""

from __future__ import annotations

import procession.joblib
from benchmarks.joblib.rivals import Backend


class Rival(Backend):
    title = 'joblib with backend="procession"'
    distribution = "procession"
    name = "procession"

    def close(self) -> None:
        super().close()
        procession.joblib.shutdown()
