"""``backend=``: from what a door was given to the engine of its pool."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor
from typing import Any

from procession._backends.abilities import Ability
from procession._backends.engine import BorrowedEngine
from procession._backends.naming import BY_NAME, PROCESSES, factory, require
from procession._backends.refusing import check_options, check_words
from procession._engine.checking import worker_count
from procession._engine.options import Options


class Choice:
    """An engine that was chosen, and is opened by each pool that is made with it.

    Made by the functions of ``procession.backends``.

    Args:
        name: which it is.
        make: makes its backend, for so many workers (None: as many as there are).
    """

    def __init__(
        self, name: str, abilities: frozenset[Ability], make: Callable[[int | None], Any]
    ) -> None:
        self.name = name
        self.abilities = abilities
        self._make = make

    def check(self, words: Mapping[str, Any], options: Options) -> None:
        """Raises NotSupported for what the engine can not do."""
        check_words(self, words.items())
        self.check_options(options)

    def check_options(self, options: Options) -> None:
        """The same for options of calls."""
        check_options(self, options)

    def open(
        self,
        workers: int | None,
        initializer: Callable[..., Any] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> BorrowedEngine:
        """A running engine.

        Args:
            workers: tasks at the same time, at most; None for as many as there are workers.
            initializer: called with `initargs` once in each worker.

        Raises:
            Exception: what the engine says that can not be reached.
        """
        backend = self._make(workers)
        try:
            start = None if initializer is None else (initializer, initargs)
            engine = BorrowedEngine(backend, workers, start)
        except BaseException:
            backend.close(kill=True)
            raise
        engine.open_up()
        return engine

    def __repr__(self) -> str:
        return f"<procession backend {self.name}>"


def named(name: str, **options: Any) -> Choice:
    """The engine of this name.

    Raises:
        ModuleNotFoundError: it is not installed.
        TypeError: it has no such options, or not of such a type.
        ValueError: less than one worker.
    """
    require(name)
    make = factory(name)
    bound = "workers" if name == "threads" else "max_workers"
    known = {*inspect.signature(make).parameters}
    _check_names(name, options, known)
    if options.get(bound) is not None:
        options[bound] = worker_count(bound, options[bound], f"{bound} must be at least 1")
    if name == "threads":
        own = options.pop("workers", None)
        return Choice(name, make.abilities, lambda most: make(most if own is None else own))
    return Choice(name, make.abilities, lambda most: make(**{"max_workers": most, **options}))


def of_executor(executor: Executor, workers: int | None = None) -> Choice:
    """Somebody's executor.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(executor, Executor):
        raise TypeError(f"executor must be a concurrent.futures.Executor, not {executor!r}")
    backend = factory("executor")(executor, workers)
    return Choice(backend.name, backend.abilities, lambda _: backend)


def _check_names(name: str, options: Mapping[str, Any], known: Collection[str]) -> None:
    unknown = [option for option in options if option not in known]
    if unknown:
        raise TypeError(
            f"backend_options: {name} has no such option: {', '.join(map(str, unknown))}; "
            f"there are {', '.join(sorted(known))}"
        )


def choose(backend: Any, backend_options: Mapping[str, Any] | None) -> Choice | None:
    """What ``backend=`` means; None for the processes of this package.

    Raises:
        ValueError: there is no engine of this name.
        TypeError: it is no engine at all, or has no such options.
        ModuleNotFoundError: it is not installed.
    """
    if not isinstance(backend_options, Mapping | None):
        raise TypeError(f"backend_options must be a dict of options, not {backend_options!r}")
    options = dict(backend_options or {})
    if not all(isinstance(name, str) for name in options):
        raise TypeError(f"backend_options must have names as keys, not {backend_options!r}")
    if backend is None or backend == PROCESSES:
        if options:
            raise TypeError(
                "backend_options are for other engines than processes; what those can be asked for "
                "are keywords of their own"
            )
        return None
    if isinstance(backend, Choice):
        if options:
            raise TypeError(f"backend_options: {backend!r} has its options already")
        return backend
    if isinstance(backend, Executor):
        _check_names(type(backend).__name__, options, ("workers",))
        return of_executor(backend, **options)
    if isinstance(backend, str):
        if backend not in BY_NAME:
            raise ValueError(
                f"no such backend: {backend!r}; there are {', '.join(map(repr, BY_NAME))}, and any "
                "concurrent.futures.Executor itself"
            )
        return named(backend, **options)
    raise TypeError(
        f"backend must be one of {', '.join(map(repr, BY_NAME))}, a concurrent.futures.Executor, "
        f"or made by procession.backends, not {backend!r}"
    )
