"""Pools on other engines: threads, Ray, Dask, any ``concurrent.futures`` executor.

::

    Pool, Executor ──▶ Engine (of _engine: pieces, window, order, retries, deadlines, progress)
                          │  its channel, publisher, packer and supervisor are those of here
                          ▼
                       Relay ── Request ──▶ Backend (the seam: submit, workers, put, stop, close)
                          ▲                    threads, executor, ray, dask
                          └──── Response ───── remote: runs what came, on the engine's machine

``abilities``   what an engine can do
``seam``        what a backend is asked for: the protocol
``naming``      the engines that have names, and where they are
``opening``     ``backend=``: from what a door was given to a running engine
``refusing``    what an engine can not do is refused where it is asked for
``engine``      the engine of such a pool: all of ``_engine`` but the workers
``relay``       its channel: what is to be run is handed on, what comes back handed out
``flights``     one request under way
``bells``       for threads that sleep
``overseer``    its supervisor: lost workers, the clock, the end
``settling``    what the loss of a worker does to a chunk
``packing``     arguments as payloads; what was share()d beside them
``publishing``  which functions the workers know
``remote``      what runs on an engine's worker
``threads``     threads of this process
``executor``    any ``concurrent.futures.Executor``
``ray``         Ray
``ray_losses``  what an error of Ray's means
``dask``        Dask
``dask_connection``  the client of a Dask cluster, and its event loop
``dask_scheduler``  what runs in Dask's scheduler

What an engine can not do is a missing ``Ability``: who asks for it is told at once.
"""

from __future__ import annotations

# First of all; see ``_worker``.
import concurrent.futures.process  # noqa: F401
