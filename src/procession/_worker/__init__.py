"""The child's side of a pool: claim a task, run it, answer, again.

``loop``      a worker's life from its seat to its exit code
``invoke``    one task, or a range of items: decode, call, encode; every outcome is an answer
``state``     which worker this is and what it runs: for the user's code, tags and log records
``diary``     what outlives it: the last lines that it printed, the stack of a fatal error
``output``    what it prints: noted, and tagged where that was asked for
``logs``      log records on their way to the parent's loggers
``stopping``  a task that is asked to stop
``growth``    how much memory it has come to use
"""

from __future__ import annotations

# First of all: who has put our Executor in the place of its own has ours imported by this, and none
# of our modules may be half imported then.
import concurrent.futures.process  # noqa: F401
