"""The binding of the C core (``core/``): method tables and conversions, no mechanism.

- ``bind_module.c`` makes the module, ``bind_family.c`` gives it the process's arena.
- A pool: ``bind_channel.c`` its rings and claims (two sides: ``bind_parent.c`` with
  ``bind_submit.c`` and ``bind_seats.c``, ``bind_worker.c`` with ``bind_run.c``), ``bind_turn.c`` a
  turn, ``bind_ledger.c`` its ledger and ``bind_entry.c`` what stands in that, ``bind_here.c`` what
  a worker runs now, ``bind_numbers.c`` lists of numbers as machine words, ``bind_outcomes.c`` what
  came of items. Simple calls: ``bind_fast_path.c`` sends them, ``bind_serve.c`` runs them.
- ``bind_apart.c``: results and queue items whose buffers travel beside their pickle.
- What processes share by handles: ``bind_object.c`` is what all handles have in common,
  ``bind_settle.c`` looks after them when a process forks, ``bind_place.c`` knows where the caller
  stands. ``bind_mutex.c`` and ``bind_semaphore.c`` (in common: ``bind_locks.c``);
  ``bind_event.c``, ``bind_condition.c`` and ``bind_barrier.c`` (in common: ``bind_waits.h``);
  ``bind_queue.c`` with ``bind_put.c``, ``bind_get.c``, ``bind_items.c`` and ``bind_finish.c``;
  ``bind_guarded.c`` values with a lock.
- Bytes: ``bind_memory.c`` plain ones in the arena, ``bind_private.c`` views of them that are one
  process's own, ``bind_room.c`` waits for room, ``bind_pickle.c`` pickles what is small and
  ``bind_plain.c`` what is plain.
- ``bind_census.c`` lists who holds what and who waits for it, of any family.
- ``bind_raised.c``: exceptions that are taken, or wait until what has begun is done.
- ``bind_failpoint.c``: the tests' fail points.

``binding.pyi`` is the typed description of it all.
"""

from __future__ import annotations

import atexit
import os

from procession._core.binding import (
    INLINE_LIMIT,
    LEAST_APART,
    Channel,
    Entry,
    FastPath,
    Guarded,
    Here,
    Ledger,
    Memory,
    PrivateView,
    address_of,
    adopt,
    after_fork,
    alive,
    arena_descriptor,
    arena_statistics,
    arrive,
    before_fork,
    blocks,
    call_me,
    call_unsent,
    census,
    decode_outcomes,
    exclusively,
    failpoint_arm,
    failpoint_passed,
    forget_pins,
    fork,
    heavy_types,
    join,
    leave,
    memory_budget,
    pack_numbers,
    pins_made,
    quick_dumps,
    quick_loads,
    same_bytes,
    settle,
    stay_out,
    sweep,
    trim,
    unpack_numbers,
    validate,
    when_smaller,
    withdraw_pins,
)

__all__ = [
    "INLINE_LIMIT",
    "LEAST_APART",
    "Channel",
    "Entry",
    "FastPath",
    "Guarded",
    "Here",
    "Ledger",
    "Memory",
    "PrivateView",
    "address_of",
    "adopt",
    "after_fork",
    "alive",
    "arena_descriptor",
    "arena_statistics",
    "arrive",
    "before_fork",
    "blocks",
    "call_me",
    "call_unsent",
    "census",
    "decode_outcomes",
    "exclusively",
    "failpoint_arm",
    "failpoint_passed",
    "forget_pins",
    "fork",
    "heavy_types",
    "join",
    "leave",
    "memory_budget",
    "pack_numbers",
    "pins_made",
    "quick_dumps",
    "quick_loads",
    "same_bytes",
    "settle",
    "stay_out",
    "sweep",
    "trim",
    "unpack_numbers",
    "validate",
    "when_smaller",
    "withdraw_pins",
]

os.register_at_fork(before=before_fork, after_in_parent=after_fork, after_in_child=settle)
atexit.register(leave)  # our children call it themselves
