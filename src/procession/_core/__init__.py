"""The binding of the C core (``core/``): method tables and conversions, no mechanism.

``bind_module.c`` makes the module, ``bind_family.c`` gives it the process's arena,
``bind_channel.c`` a pool's rings and claims (its two sides in ``bind_parent.c`` and
``bind_worker.c``), ``bind_turn.c`` a turn, ``bind_numbers.c`` lists of numbers as
machine words, ``bind_failpoint.c`` the tests' fail points.
``binding.pyi`` is the typed description of it all.
"""

from __future__ import annotations

from procession._core.binding import (
    INLINE_LIMIT,
    Channel,
    adopt,
    alive,
    arena_descriptor,
    arena_statistics,
    exclusively,
    failpoint_arm,
    failpoint_passed,
    fork,
    join,
    pack_numbers,
    sweep,
    trim,
    unpack_numbers,
    validate,
)

__all__ = [
    "INLINE_LIMIT",
    "Channel",
    "adopt",
    "alive",
    "arena_descriptor",
    "arena_statistics",
    "exclusively",
    "failpoint_arm",
    "failpoint_passed",
    "fork",
    "join",
    "pack_numbers",
    "sweep",
    "trim",
    "unpack_numbers",
    "validate",
]
