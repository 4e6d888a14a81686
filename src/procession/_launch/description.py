"""This process, described for a child that is no copy of it.

The child imports the program's main module again. There are three cases in which it does not, and
what lives there travels by value (see ``parcel``):

- there is no file (an interactive session, a notebook, ``python -c``);
- it is the ``__main__`` of a package: the standard library does not import that either;
- its file never compares its own ``__name__`` with anything: imported again it would
  start processes again, without end.
"""

from __future__ import annotations

import ast
import functools
import os
import sys
from collections.abc import Iterable, Mapping

from procession import _core
from procession._launch import interpreter, lifeline, methods, preparation, settings, stdlib
from procession._launch.parcel import Carried, carry
from procession._launch.preparation import Preparation

# IPython's own start script is not the user's program, whatever of it there is.
_NOT_PROGRAMS = ("ipython", "ipython3")
_ORIGINAL_DIRECTORY = os.path.abspath(os.curdir)


def describe(
    title: str,
    *,
    mask: Iterable[int],
    zygote: int | None,
    environment: Mapping[str, str | None] | None = None,
) -> Preparation:
    """This interpreter, for a child; while a parcel is packed.

    Args:
        title: what reports call the child.
        mask: the signals that are held back here.
        zygote: a descriptor that leads to the family's zygote.
        environment: changes to this process's, for a child that inherits neither environment nor
            standard streams; None for one that does.

    Raises:
        OSError: there are no descriptors left.
    """
    name, path = _main_source()
    try:
        directory = os.getcwd()
    except OSError:  # it was removed: the child stays where it is started
        directory = None
    return Preparation(
        title=title,
        lifeline=carry(lifeline.descriptor()),
        arena=carry(_core.arena_descriptor()),
        token=_core.join(),
        zygote=None if zygote is None else carry(zygote),
        output=None if environment is None else (_carry_open(1), _carry_open(2)),
        environment=None if environment is None else interpreter.changed(environment),
        mask=frozenset(map(int, mask)),
        path=[entry or _ORIGINAL_DIRECTORY for entry in sys.path],
        arguments=sys.argv[:],
        directory=directory,
        start_method=methods.chosen(),
        executable=settings.executable(),
        preload=settings.preload(),
        main_name=name,
        main_path=path,
        has_main=name is not None or path is not None,
        theirs=stdlib.state(),
        hooks=preparation.hooks(),
    )


def _carry_open(fd: int) -> Carried | None:
    try:
        os.fstat(fd)
    except OSError:
        return None
    return carry(fd)


def _main_source() -> tuple[str | None, str | None]:
    """Module name or file by which the main module can be imported again."""
    main = sys.modules["__main__"]
    file: str | None = getattr(main, "__file__", None)
    name: str | None = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        again = name != "__main__" and not name.endswith(".__main__") and _asks_its_name(file)
        return (name if again else None), None
    if file is None or os.path.splitext(os.path.basename(file))[0] in _NOT_PROGRAMS:
        return None, None
    path = os.path.normpath(os.path.join(_ORIGINAL_DIRECTORY, file))
    # There is none if the program came from standard input, or was removed.
    return None, path if os.path.exists(path) and _asks_its_name(path) else None


@functools.lru_cache(maxsize=8)
def _asks_its_name(path: str | None) -> bool:
    """Whether a program compares ``__name__`` with something; True if it can not be told."""
    try:
        with open(path or "", "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return True
    return any(
        isinstance(side, ast.Name) and side.id == "__name__"
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
    )
