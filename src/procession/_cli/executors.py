"""Our executor where a program says ``ProcessPoolExecutor``.

``concurrent.futures.process`` stays the standard library's, with its errors, which ours are derived
from; only the executor is taken out of it, and ours is given to who asks for it. It is loaded then,
not before: a worker that needs the errors has no use for an executor.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType, ModuleType

from procession._cli import ours

PACKAGE = "concurrent.futures"
MODULE = f"{PACKAGE}.process"
_NAME = "ProcessPoolExecutor"

notice: Callable[[str, FrameType], object] | None = None  # told when a program asks for it


def put_ours() -> None:
    """Put ours in its place, if the module is loaded already; who has the other one keeps it."""
    package, module = sys.modules.get(PACKAGE), sys.modules.get(MODULE)
    if package is not None:
        vars(package).pop(_NAME, None)  # it asks the module again
    if module is not None:
        put_ours_into(module)


def put_ours_into(module: ModuleType) -> None:
    """Take the standard library's executor out of its module, and give ours from now on."""

    def find(name: str) -> type:
        if name != _NAME:
            raise AttributeError(f"module {MODULE!r} has no attribute {name!r}")
        if notice is not None:
            notice(_NAME, sys._getframe(1))
        executor: type = ours.load("futures").ProcessPoolExecutor
        return executor

    own = vars(module)
    if own.pop(_NAME, None) is not None:
        own["__getattr__"] = find
