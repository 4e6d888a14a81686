"""Fresh interpreters: for a child, and for the zygote.

Only what is named is inherited: the standard streams and the given descriptors.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence

from procession._launch import settings

# The folder that holds the package: a program may have found it by a path of its own.
_SOURCES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def execute(
    program: str, *, keep: Iterable[int], environment: Mapping[str, str | None], title: str
) -> int:
    """Start an interpreter like this one, with a one-line program; its pid.

    Args:
        program: what it does, once the package can be imported.
        keep: descriptors that it inherits, under the same numbers.
        environment: changes to this process's environment; None removes a variable.
        title: for people who list processes.

    Raises:
        OSError: with the executable's name, if it can not be started.
    """
    find = f"import sys; sys.path.insert(0, {_SOURCES!r}); "
    command = [settings.executable(), *_flags(), "-c", find + program, f"--procession={title}"]
    started = subprocess.Popen(command, pass_fds=set(keep), env=changed(environment))
    pid = started.pid
    # It is ours to reap: this keeps the Popen object from doing it.
    started.returncode = 0
    return pid


def changed(environment: Mapping[str, str | None]) -> dict[str, str]:
    """This process's environment with changes; None removes a variable."""
    values = {**os.environ, **environment}
    return {name: value for name, value in values.items() if value is not None}


def _flags() -> Sequence[str]:
    flags: Sequence[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return flags
