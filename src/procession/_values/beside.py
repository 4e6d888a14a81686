"""The standard library's module of the same purpose, in a process that uses both.

It tells its pickler, for each C type that it has made an object of, how all objects of that type
are pickled. Ours have a way of their own, and are to go by that.
"""

from __future__ import annotations

import sys
from typing import Any

from procession._launch import stdlib

_NAME = "multiprocessing.sharedctypes"
_known: Any = None  # what we have found there
_adjusted: list[Any] = []


def agree() -> None:
    """If it has been loaded since the last call, have it leave objects of ours alone."""
    global _known
    found = sys.modules.get(_NAME)
    if found is not _known:
        _known = found
        for theirs in stdlib.loaded("sharedctypes"):
            if theirs not in _adjusted:
                _adjusted.append(theirs)
                _adjust(theirs)


def _adjust(theirs: Any) -> None:
    original = theirs.reduce_ctype
    reducers = theirs._ForkingPickler._extra_reducers

    def reduce_ctype(obj: Any) -> Any:
        reduce = vars(obj).get("__reduce_ex__")
        return original(obj) if reduce is None else reduce(0)

    theirs.reduce_ctype = reduce_ctype
    for kind, reducer in [*reducers.items()]:
        if reducer is original:
            reducers[kind] = reduce_ctype
