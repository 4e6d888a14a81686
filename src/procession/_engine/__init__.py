"""The engine of a pool: from a submitted task to its one outcome.

::

    caller ── submit ──▶ Engine ── dumps, FunctionTable ──▶ Channel ═ task ring ══▶ worker: claim
      ▲                    │ Ledger: number → entry                                   │ Invoker
      │                    │ Feeder: what waits for room in the ring                  ▼
      └── value, error ◀── Engine.wait: the waiting thread collects ◀═══ result ring ═ answer
                           Supervisor: asleep in poll on sentinels and an eventfd; acts on a
                           death, on a full result ring, on shutting down
                           Attendant: runs what nobody waits for: callbacks, the rest of a
                           map_async, what is left to do after close()

Who does what:

``engine``      the whole: what the doors call
``entries``     what stands in the ledger, and its outcome: one task
``maps``        a map call: cut into chunks late, put together again
``streams``     an imap call: pulled from its input as results are consumed
``chunking``    how large the next chunk of a map shall be (pure)
``ledger``      numbers, and the entries that have no outcome yet
``feeding``     what waits for room in the task ring
``publishing``  which functions the workers know
``outline``     what was pickled, in short, without unpickling it
``turn``        one thread at a time, and the others do not wait for it
``copies``      forked copies of engines: they do nothing
``holding``     what a signal handler needs that waits where its thread holds the lock
``ending``      what a task gets that can not be run any more
``policy``      what a worker's end means (pure: a table)
``crew``        the workers: started, watched, replaced
``supervisor``  the thread that looks after deaths; runs no code of the user's
``attendant``   the thread that runs the user's code where nobody waits

Two rules keep it from hanging. The engine's lock is never held while code of the user's runs
(pickling, unpickling, callbacks, input iterators). And everything that an interrupt may cut short
(Ctrl-C can come between any two instructions of the main thread) can be done again.
"""
