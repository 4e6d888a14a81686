"""The engine of a pool: from a submitted task to its one outcome.

::

    caller ── submit ──▶ Engine ── dumps, FunctionTable ──▶ Channel.tasks ══▶ worker: claim
      ▲                    │ Ledger: number → Entry                              │ Invoker
      │                    │ Feeder: what waits for room in the ring             ▼
      └── value, error ◀── Turnstile: the waiting thread collects ◀══ Channel.results
                           Supervisor: asleep in poll on sentinels and an eventfd; acts on
                           a death, on results that nobody waits for, on shutting down

Who does what:

``entries``     what stands in the ledger: one task, or one chunk of a map
``ledger``      numbers and the entries that have no outcome yet
``maps``        a map call: cut into chunks late, put together again
``chunking``    how large the next chunk shall be (pure)
``feeding``     what waits for room in the task ring, first come, first served
``turnstile``   of the threads that wait, one collects for all
``policy``      what a worker's end means (pure: a table)
``crew``        the workers: started, watched, replaced
``supervisor``  the thread that is woken when nobody else looks
``engine``      the whole: what the doors call
"""
