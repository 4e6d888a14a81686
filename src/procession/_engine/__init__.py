"""The engine of a pool: from a submitted task to its one outcome.

::

    caller ── submit ──▶ Engine ── dumps, Publisher ─────▶ Channel ═ task ring ══▶ worker: claim
      ▲        map         │ Ledger: number → record                                 │ Invoker
      │        stream      │ Job: cut into pieces late                               │ item, outcome
      │                    │ Feeder: what waits for room in the ring                 ▼
      └── value, error ◀── Engine.wait: the waiting thread collects ◀═ result ring ═ answer
                           Settler: what went wrong; asks policy what becomes of it
                           Supervisor: asleep in poll on sentinels and an eventfd; acts on a
                           death (Settler), on the clock (Watch, Sharing), on who is missing
                           or to go (Foreman, by the plan of staffing)
                           Attendant: runs what nobody waits for: callbacks, watched futures,
                           the rest of a map_async, what is left to do after close()

Who does what:

``opening``     what the doors have in common when they open
``options``     what can be asked for each task and each call
``checking``    arguments that can not be, told at once
``engine``      the whole: what the doors call

A task, from its submission to its outcome:

``entries``     records: what is sent to the workers and has no answer yet; one task, its outcome
``results``     what a pool's calls return
``futures``     one task, for ``concurrent.futures`` and asyncio
``asynchronous``  what coroutines await: one task, or a stream's results one by one
``preparing``   what a task's options ask for before it is sent
``ledger``      numbers, and the records that have no outcome yet
``packing``     arguments as payloads, with their large buffers beside them; waits for room there
``publishing``  which functions the workers know
``sending``     how records get into the task ring, for the first time or again
``feeding``     what waits for room in the task ring
``outline``     what was pickled, in short, without unpickling it

A call over many items:

``batches``     what came of some of its items
``jobs``        cut into pieces late, settled piece by piece
``maps``        a map call: put together again, in order
``streams``     an imap call: pulled from its input as results are consumed
``sources``     where the items come from
``fetching``    the thread of an imap's input
``lookahead``   how far it may be ahead of what is consumed (pure)
``pieces``      a range of the items of one payload: one record
``chunking``    how large the next piece shall be (pure)
``balancing``   what to take back from workers, for others to do (pure)
``sharing``     takes it back
``turn``        one thread at a time, and the others do not wait for it

When something goes wrong:

``policy``      what becomes of a task that failed (pure: a table)
``settling``    sees to that: buries, tries again, takes back, cancels
``deadlines``   which tasks are late (pure)
``watch``       has late tasks stop, or kills them
``autopsy``     why a worker ended, in words
``ending``      what a task gets that can not be run any more
``copies``      forked copies of engines: they do nothing
``holding``     what a signal handler needs that waits where its thread holds the lock

The workers, and the threads that look after all this:

``hiring``      on what terms workers are started
``crew``        who sits where, and where each is in its life
``staffing``    a worker's life, and who is to be hired or to go (pure: a table, and a plan)
``foreman``     keeps the crew as the plan wants it
``supervisor``  the thread that sees deaths, the clock and the crew; runs no code of the user's
``attendant``   the thread that runs the user's code where nobody waits
``records``     log records of workers, handed to the loggers here

Two rules keep it from hanging. The engine's lock is never held while code of the user's runs
(pickling, unpickling, callbacks, input iterators). And everything that an interrupt may cut short
(Ctrl-C can come between any two instructions of the main thread) can be done again.
"""

from __future__ import annotations

# First of all; see ``_worker``.
import concurrent.futures.process  # noqa: F401
