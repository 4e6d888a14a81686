"""joblib's default."""

from __future__ import annotations

from joblib.externals.loky import get_reusable_executor

from benchmarks.joblib.rivals import Backend


class Rival(Backend):
    title = 'joblib with backend="loky"'
    name = "loky"

    def close(self) -> None:
        super().close()
        get_reusable_executor().shutdown(wait=True, kill_workers=True)
