"""A pool's workers as process objects: children like others, with a name and a number.

The worker's own side stands in ``_worker``, how it is started in ``_launch``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from procession import process
from procession._launch import methods, preparation

__all__ = ["launch_worker"]


class _PoolWorker(process.BaseProcess):
    """A worker process: daemonic in pools, as the stdlib's, but with the right to have children."""

    _is_worker = True
    _shares_sentinel = False

    def __init__(
        self,
        entry: Callable[[], int],
        kind: str,
        known: Callable[[methods.Child], object] | None,
        environment: Mapping[str, str | None],
        held_back: Collection[int] | None,
        *,
        daemon: bool,
    ) -> None:
        super().__init__(daemon=daemon)
        self.name = f"{kind}-{':'.join(map(str, self._identity))}"
        self._entry = entry
        self._known = known
        self._changes = environment
        self._held_back = held_back

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_known": None}

    def _environment(self) -> Mapping[str, str | None]:
        return self._changes

    def _bootstrap(self) -> int:
        process._become(self)
        return self._entry()

    def _adopt(self, child: methods.Child) -> None:
        super()._adopt(child)
        if self._known is not None:
            self._known(child)
        del self._entry, self._known

    def _ended(self) -> None:
        process._children.discard(self)


_START_METHODS = {"fork": "Fork", "spawn": "Spawn", "forkserver": "ForkServer"}


def launch_worker(
    entry: Callable[[], int],
    *,
    method: str = "fork",
    kind: str = "PoolWorker",
    daemon: bool = True,
    known: Callable[[methods.Child], object] | None = None,
    environment: Mapping[str, str | None] = process.NO_CHANGES,
    held_back: Collection[int] | None = None,
) -> methods.Child:
    """Start a pool's worker that runs `entry`, which returns the exit code.

    `method` is the start method; all but fork pickle `entry`. `known` is called with the child
    before any signal handler can come in. `environment` is changed before a fresh interpreter
    imports anything, `held_back` are the signals held back meanwhile (see ``methods.Startable``).

    The worker counts as a child of this process: it has a number and a name (by the start method,
    its `kind` and the number), current_process() in it says so, and active_children() lists it. In
    it, what comes from the standard library may start processes unless it is a `daemon`.
    """
    preparation.check_start()
    process._cleanup()
    kind = _START_METHODS.get(method, "") + kind
    worker = _PoolWorker(entry, kind, known, environment, held_back, daemon=daemon)
    return methods.launch(worker, method)
