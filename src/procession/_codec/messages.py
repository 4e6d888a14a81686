"""The kinds of records in the task ring and the result ring of a channel."""

from __future__ import annotations

from typing import Final

# Task ring: what a worker is asked to do. The payload is pickled.
CALL: Final = 0  # (args, kwds) for the numbered function
# (function, args, kwds): a callable with a state of its own; before it, perhaps, its fingerprint
CARRIED_CALL: Final = 1
MAP: Final = 2  # a sequence of arguments; stop at the first error
STARMAP: Final = 3  # a sequence of argument tuples; stop at the first error
EACH: Final = 4  # a sequence of arguments; an outcome for each
CALL_ONE: Final = 5  # the one argument of the numbered function
STAREACH: Final = 6  # a sequence of argument tuples; an outcome for each
STAR_ONE: Final = 7  # the arguments of the numbered function, as one tuple

KIND_MASK: Final = 0x0F
# How to run it; added to the kind.
TIMED: Final = 0x10  # note when each item begins
GUARDED: Final = 0x20  # it may be asked to stop

# Result ring: what came of it.
VALUE: Final = 0  # the pickled value
ERROR: Final = 1  # an encoded exception (see exceptions.py)
OUTCOMES: Final = 2  # what came of each item of a range (see _core.decode_outcomes)
BY_VALUE: Final = 3  # the worker can not find the function by its name: send it by value
READY: Final = 4  # a worker has initialised itself
INITIALIZER_FAILED: Final = 5  # an encoded exception
ARGUMENTS_BY_VALUE: Final = 6  # an encoded exception: so can it not find what they are made of
RETIRING: Final = 7  # a worker is at its last task, or has grown too much
LOG_RECORD: Final = 8  # a pickled record of the logging module

PART: Final = 0x100  # added to OUTCOMES: more of the same record is to come
