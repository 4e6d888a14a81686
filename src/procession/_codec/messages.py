"""The kinds of records in the task ring and the result ring of a channel."""

from __future__ import annotations

from typing import Final

# Task ring: what a worker is asked to do. The payload is pickled.
CALL: Final = 0  # (args, kwds) for the numbered function
CARRIED_CALL: Final = 1  # (function, args, kwds): a callable with a state of its own
MAP: Final = 2  # a sequence of arguments; stop at the first error
STARMAP: Final = 3  # a sequence of argument tuples; stop at the first error
EACH: Final = 4  # a sequence of arguments; an outcome for each
CALL_ONE: Final = 5  # the one argument of the numbered function

# Result ring: what came of it.
VALUE: Final = 0  # the pickled value, or list of values of a chunk
ERROR: Final = 1  # an encoded exception (see exceptions.py)
OUTCOMES: Final = 2  # EACH: pickled list of (True, value) and (False, encoded exception)
BY_VALUE: Final = 3  # the worker can not find the function by its name: send it by value
ARGUMENTS_BY_VALUE: Final = 6  # an encoded exception: so can it not find what they are made of
READY: Final = 4  # a worker has initialised itself
INITIALIZER_FAILED: Final = 5  # an encoded exception
