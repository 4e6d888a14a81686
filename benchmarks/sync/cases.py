"""The cases, in the order of the report."""

from __future__ import annotations

from benchmarks.contract import Case, Unit
from benchmarks.sync import alone, together
from benchmarks.sync.together import Meeting

NANOSECONDS = Unit("ns", 1e9)
MICROSECONDS = Unit("µs", 1e6)

QUICK = 500_000
SLOW = 200_000
TURNS = 5_000

CASES = {
    "lock": Case("Lock, acquire and release", QUICK, alone.lock, NANOSECONDS),
    "with_lock": Case("with lock", QUICK, alone.with_lock, NANOSECONDS),
    "rlock": Case("RLock, acquire and release", QUICK, alone.rlock, NANOSECONDS),
    "semaphore": Case("Semaphore, acquire and release", QUICK, alone.semaphore, NANOSECONDS),
    "contended_lock": Case(
        "Lock that two processes want, acquire and release",
        SLOW,
        Meeting(together.contended_lock, shared=True).run,
        NANOSECONDS,
    ),
    "event_is_set": Case("Event.is_set", QUICK, alone.is_set, NANOSECONDS),
    "event_ping_pong": Case(
        "Event, there and back", TURNS, Meeting(together.event_ping_pong).run, MICROSECONDS
    ),
    "condition_ping_pong": Case(
        "Condition, there and back", TURNS, Meeting(together.condition_ping_pong).run, MICROSECONDS
    ),
    "semaphore_ping_pong": Case(
        "Semaphore, there and back", TURNS, Meeting(together.semaphore_ping_pong).run, MICROSECONDS
    ),
    "barrier": Case("Barrier of two, one wait", TURNS, Meeting(together.barrier).run, MICROSECONDS),
    "value_add": Case("Value, += under its lock", SLOW, alone.value_add, NANOSECONDS),
    "raw_value_add": Case("RawValue, +=", QUICK, alone.raw_value_add, NANOSECONDS),
}
