"""What an engine can not do is refused at construction, and by ``options``; the others do it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import procession
from procession import backends
from procession._backends.abilities import Ability
from procession.futures import Executor
from procession.pool import Pool
from tests.contract.engines import Setting
from tests.contract.tasks import Signals, begin, double, identity

_WORDS: list[tuple[str, Any, Ability]] = [
    ("maxtasksperchild", 5, Ability.RECYCLING),
    ("max_age", 100.0, Ability.RECYCLING),
    ("max_memory", 1 << 30, Ability.RECYCLING),
    ("idle_timeout", 100.0, Ability.RESIZE),
    ("env", {"A": "1"}, Ability.SURROUNDINGS),
    ("cwd", ".", Ability.SURROUNDINGS),
    ("nice", 0, Ability.SURROUNDINGS),
    ("threads", 1, Ability.SURROUNDINGS),
    ("seed", 1, Ability.SURROUNDINGS),
    ("output", "tagged", Ability.OUTPUT),
    ("logs", "WARNING", Ability.OUTPUT),
    ("finalizer", None, Ability.FINALIZER),
]


@pytest.mark.parametrize(("word", "value", "ability"), _WORDS, ids=[word for word, *_ in _WORDS])
def test_a_word_about_workers(
    setting: Setting,
    make_pool: Callable[..., Pool],
    make_executor: Callable[..., Executor],
    word: str,
    value: Any,
    ability: Ability,
) -> None:
    if word == "finalizer":
        value = dict  # does nothing
    if setting.can(ability):
        assert make_pool(2, **{word: value}).apply(double, (1,)) == 2
        return
    with pytest.raises(procession.NotSupported, match=rf"{word}.*engines that can: .*processes"):
        make_pool(2, **{word: value})
    other = "max_tasks_per_child" if word == "maxtasksperchild" else word
    with pytest.raises(procession.NotSupported, match=rf"{other}.*engines that can"):
        make_executor(2, **{other: value})


def test_an_initializer(setting: Setting, make_pool: Callable[..., Pool], signals: Signals) -> None:
    if setting.can(Ability.INITIALIZER):
        assert make_pool(2, begin, (signals, 1)).apply(double, (1,)) == 2
        assert signals.noted()
        return
    with pytest.raises(procession.NotSupported, match="initializer"):
        make_pool(2, begin, (signals, 1))


def test_a_grace(setting: Setting, pool: Pool, make_executor: Callable[..., Executor]) -> None:
    if setting.can(Ability.GRACE):
        assert pool.options(timeout=100, grace=1).apply(double, (1,)) == 2
        return
    with pytest.raises(procession.NotSupported, match=r"grace=1\b"):
        pool.options(timeout=100, grace=1)
    with pytest.raises(procession.NotSupported, match=r"grace=1\b"):
        make_executor(2, timeout=100, grace=1)
    with pytest.raises(procession.NotSupported, match=r"grace=1\b"):
        make_executor().options(timeout=100, grace=1)


def test_by_reference_or_not(setting: Setting, pool: Pool) -> None:
    thing = [1, 2]
    assert (pool.apply(identity, (thing,)) is thing) == setting.can(Ability.BY_REFERENCE)
    assert (pool.map(identity, [thing])[0] is thing) == setting.can(Ability.BY_REFERENCE)


def test_a_name_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"no such backend: 'gpu'.*'threads', 'ray', 'dask'"):
        Pool(1, backend="gpu")
    with pytest.raises(TypeError, match="backend must be one of"):
        Pool(1, backend=3)
    with pytest.raises(TypeError, match="backend_options are for other engines"):
        Pool(1, backend_options={"workers": 3})
    with pytest.raises(TypeError, match="has its options already"):
        Executor(1, backend=backends.threads(), backend_options={"workers": 3})
    with pytest.raises(TypeError, match=r"concurrent.futures.Executor, not 3"):
        backends.executor(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="workers must be at least 1"):
        Pool(backend=backends.threads(0))


@pytest.mark.parametrize("door", [Pool, Executor])
def test_options_of_an_engine_are_checked_at_once(door: type[Pool | Executor]) -> None:
    with pytest.raises(TypeError, match=r"threads has no such option: wokers; there are workers"):
        door(1, backend="threads", backend_options={"wokers": 3})
    with pytest.raises(TypeError, match="workers must be a whole number, not '3'"):
        door(1, backend="threads", backend_options={"workers": "3"})
    with pytest.raises(ValueError, match="workers must be at least 1"):
        door(1, backend="threads", backend_options={"workers": 0})
    with pytest.raises(TypeError, match=r"backend_options must be a dict of options, not \[3\]"):
        door(1, backend="threads", backend_options=[3])  # type: ignore[arg-type]
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(TypeError, match="ThreadPoolExecutor has no such option: size"),
    ):
        door(1, backend=executor, backend_options={"size": 3})


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_options_of_a_cluster_are_checked_before_it_is_there(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("procession._backends.opening.require", lambda _: None)
    with pytest.raises(TypeError, match=rf"{name} has no such option: adress; there are address"):
        Executor(backend=name, backend_options={"adress": "local"})
    with pytest.raises(ValueError, match="max_workers must be at least 1"):
        getattr(backends, name)(max_workers=0)


def test_words_are_checked_everywhere(make_pool: Callable[..., Pool]) -> None:
    with pytest.raises(TypeError, match="initializer must be a callable"):
        make_pool(2, 3)
    with pytest.raises(ValueError, match="at least 1"):
        make_pool(0)
    with pytest.raises(TypeError, match="no such option: colour"):
        make_pool(2, colour="red")


@pytest.mark.parametrize("name", ["ray", "dask"])
def test_an_engine_that_is_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("procession._backends.naming.find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install procession\[{name}\]"):
        Pool(1, backend=name)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install procession\[{name}\]"):
        getattr(backends, name)()


def test_workers_of_threads() -> None:
    with Pool(backend="threads", backend_options={"workers": 3}) as pool:
        assert "pool_size=3" in repr(pool)
    pool.join()
    with Pool(2, backend=backends.threads(3)) as pool:
        assert "pool_size=2" in repr(pool)
    pool.join()


def test_an_executor_stays_its_owners() -> None:
    with ThreadPoolExecutor(3) as executor:
        with Pool(backend=executor) as pool:
            assert "pool_size=3" in repr(pool)
            assert pool.map(double, range(5)) == [0, 2, 4, 6, 8]
        pool.join()
        with procession.get_context("spawn").Pool(1, backend=executor) as pool:
            assert "pool_size=1" in repr(pool)
            assert pool.apply(double, (2,)) == 4
        pool.join()
        with Executor(backend=backends.executor(executor, workers=2)) as ours:
            assert ours.submit(double, 4).result() == 8
        assert executor.submit(double, 4).result() == 8


def test_an_executor_of_ours_goes_on_when_a_worker_dies() -> None:
    with Executor(1) as executor, Pool(backend=executor) as pool:
        with pytest.raises(procession.WorkerDied) as caught:
            pool.apply(os._exit, (3,))
        assert "exit code 3" in str(caught.value)
        assert isinstance(caught.value.pid, int)
        assert pool.apply(double, (4,)) == 8
    pool.join()
