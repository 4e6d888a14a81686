"""Keeps the standard library's multiprocessing objects working in our children.

A program may use a stdlib Queue or Manager with our Process. Those objects rely on hooks that the
stdlib runs in *its* children: after the fork, and at the end (a queue's feeder thread is flushed
there). If the stdlib's ``multiprocessing.util`` is loaded, we run the same hooks; we never load it.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from types import ModuleType

# The second name is where `procession run` keeps the stdlib's module when ours has its place.
_NAMES = ("multiprocessing.util", "procession._stdlib.util")
_FOLDER = os.path.join(os.path.dirname(os.__file__), "multiprocessing")


def loaded() -> Iterator[ModuleType]:
    """The stdlib's ``multiprocessing.util`` modules that are loaded (usually none or one)."""
    seen: set[int] = set()
    for name in _NAMES:
        module = sys.modules.get(name)
        if module is None or id(module) in seen:
            continue
        file = getattr(module, "__file__", None)
        if file is not None and os.path.dirname(file) == _FOLDER:
            seen.add(id(module))
            yield module


def after_fork() -> None:
    """In a fresh child: forget what belonged to the parent, run the after-fork hooks."""
    for util in loaded():
        util._finalizer_registry.clear()
        util.process._children = set()
        util.process._process_counter = itertools.count(1)
        util._run_after_forkers()


def adopt(current: object, parent: object) -> None:
    """Make the stdlib's current_process() and parent_process() agree with ours.

    Names in log records, authentication keys and names of semaphores come from there.
    """
    for util in loaded():
        util.process._current_process = current
        util.process._parent_process = parent


def run_exit_function() -> None:
    """At the end of a child: finalizers, queue feeders, the stdlib's own child processes."""
    for util in loaded():
        util._exit_function()
