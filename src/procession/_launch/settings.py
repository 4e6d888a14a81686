"""What start methods other than fork are told about the interpreters that they start."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_executable: str | None = None
_preload: list[str] = ["__main__"]


def executable() -> str:
    """The interpreter that children run in: this process's own, unless another was set."""
    return sys.executable if _executable is None else _executable


def set_executable(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> None:
    """Have children run in another interpreter from now on.

    Raises TypeError for what is no path.
    """
    global _executable
    _executable = os.fsdecode(path)


def preload() -> list[str]:
    """Names of the modules that a fork server imports before it serves."""
    return _preload[:]


def set_preload(module_names: Sequence[str]) -> None:
    """Choose what a fork server imports, before it is started; what can not be is left out.

    Raises TypeError for what is no list of strings.
    """
    global _preload
    is_list = isinstance(module_names, list | tuple)
    if not is_list or not all(isinstance(name, str) for name in module_names):
        raise TypeError("module_names must be a list of strings")
    _preload = list(module_names)
