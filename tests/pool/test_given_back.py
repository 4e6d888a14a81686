"""What a pool took is given back, also where nobody asks for its results or closes it."""

from __future__ import annotations

import gc
import os
import weakref
from typing import Any

import pytest

from procession._core import arena_statistics, trim
from procession.errors.pool import InitializerFailed
from procession.pool import Pool
from procession.process import active_children
from tests.plugins.scripts import LIMIT
from tests.pool.gates import Gate

MIB = 1 << 20


def test_large_payloads_leave_no_pages_when_their_pool_has_ended() -> None:
    trim()
    before = arena_statistics()["used"]
    with Pool(1) as pool:
        assert pool.apply(len, (b"x" * (50 * MIB),)) == 50 * MIB
        assert arena_statistics()["used"] > before + 50 * MIB  # kept warm for the next one
    pool.join()
    assert arena_statistics()["used"] < before + MIB


def test_a_very_large_payload_leaves_warm_pages_when_it_is_answered() -> None:
    trim()
    with Pool(1) as pool:
        before = arena_statistics()
        result: bytes = pool.apply(bytes, (bytes(80 * MIB),))
        assert len(result) == 80 * MIB
        after = arena_statistics()
        in_use = after["paged"] - after["warm_free"]
        assert in_use < before["paged"] - before["warm_free"] + MIB
        assert after["warm_free"] >= 80 * MIB  # for the next one
        trim()
        assert arena_statistics()["used"] < before["used"] + MIB
    pool.join()


# Raised in a finaliser, where a warning that is an error can only be reported.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_dropped_pool_ends_although_nobody_asks_for_its_result(gate: Gate) -> None:
    pool = Pool(1)
    pool.apply_async(gate.pass_through)
    (worker,) = active_children()
    del pool
    gc.collect()
    assert worker.is_alive()  # the task is on its way, and keeps the pool
    gate.open()
    worker.join(LIMIT)
    assert not worker.is_alive()


_CLOSES = """
import os
import procession

def end(pool):
    pool.close()
    pool.join()

pool = procession.Pool(1)
pool.map(abs, [1])
pid = os.fork()
if pid == 0:
    os.closerange(3, 1000)  # as a program does to become a daemon
    own = procession.Pool(1)
    print(own.map(abs, [-1, 2]), flush=True)
    end(own)
    os._exit(0)
os.waitpid(pid, 0)
end(pool)
os.closerange(3, 1000)
try:
    procession.Pool(1)
except OSError as error:
    print(error)
"""


def test_a_fork_that_closes_all_descriptors_has_pools_of_its_own(run_script: Any) -> None:
    ended = run_script(_CLOSES)
    assert ended.returncode == 0, ended.stderr
    made, refused = ended.stdout.splitlines()
    assert made == "[1, 2]"
    assert "closed the shared arena's descriptor" in refused


def test_results_live_no_longer_than_somebody_has_them() -> None:
    # Not until a garbage collection: that may be far, and long if it has millions to free.
    gc.collect()
    gc.disable()
    try:
        with Pool(2) as pool:
            mapped = pool.map_async(abs, range(1000), 10)
            streamed = pool.imap(abs, range(1000))
            assert mapped.get() == list(streamed) == list(range(1000))
            jobs: list[Any] = [weakref.ref(mapped._job), weakref.ref(streamed._job)]
            del mapped, streamed
            assert [job() for job in jobs] == [None, None]
        pool.join()
    finally:
        gc.enable()


def _exits() -> None:
    os._exit(7)


def _one_call() -> None:
    with Pool(1, _exits) as pool:
        pool.apply(abs, (1,))


def test_a_broken_pool_says_how_its_workers_ended() -> None:
    with pytest.raises(InitializerFailed, match="can not start its workers") as caught:
        _one_call()
    assert "ended before it was ready: exit code 7" in str(caught.value.__cause__)


@pytest.mark.parametrize("method", ["apply_async", "map_async", "starmap_async"])
@pytest.mark.parametrize("which", ["callback", "error_callback"])
def test_a_callback_that_can_not_be_called_is_refused(pool: Pool, method: str, which: str) -> None:
    wrong: dict[str, Any] = {which: 5}
    with pytest.raises(TypeError, match="a callback must be callable, not 5"):
        getattr(pool, method)(abs, [(1,)], **wrong)
