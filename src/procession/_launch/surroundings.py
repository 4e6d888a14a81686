"""In what surroundings a worker runs: environment, folder, CPUs, priority, threads, random numbers.

``Surroundings.checked`` says at once, in the parent, what can not be. ``environment`` is for a
fresh interpreter, before it starts; ``apply`` is for the worker itself, however it started, before
any code of the user's.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import os
import re
import stat
import struct
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Literal, NamedTuple, SupportsIndex, cast

from procession._launch.cpus import cpu_count

if TYPE_CHECKING:
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""What native libraries read, when they are loaded, to know how many threads to use."""

# Which of them a loaded library would have read, by threadpoolctl's name for its kind.
_VARIABLE_OF = {
    "openmp": "OMP_NUM_THREADS",
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "blis": "BLIS_NUM_THREADS",
}
# The libraries that threadpoolctl knows, as they stand at the end of a line of /proc/self/maps.
_LIBRARY = re.compile(
    rb"/(?:(?:libscipy_|lib)?openblas|libmkl_rt|libblis|libflexiblas|libiomp|libgomp|libomp)[^/\n]*$",
    re.MULTILINE,
)
_NUMPY_RANDOM = "numpy.random"
_STEEPEST = 39  # nice values go from -20 to 19


class Surroundings(NamedTuple):
    """In what surroundings each worker runs; None leaves a thing as the parent has it.

    To be made by ``checked``, which has the meaning of each field. (No dataclass: each worker would
    import what those need, which is three times the size of the rest that is its own.)
    """

    env: Mapping[str, str | None] | None = None
    cwd: str | None = None
    nice: int | None = None
    cpus: frozenset[int] | Literal["each"] | None = None
    threads: int | Literal["auto"] | None = None
    seed: int | None = None

    def __hash__(self) -> int:
        return hash(self[1:])

    @classmethod
    def checked(
        cls,
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        nice: SupportsIndex | None = None,
        cpus: Iterable[SupportsIndex] | str | None = None,
        threads: SupportsIndex | str | None = None,
        seed: SupportsIndex | None = None,
    ) -> Surroundings:
        """Check everything now, and keep it in a form that does not change any more.

        Args:
            env: Environment variables to set; None as a value removes the variable.
            cwd: The folder to work in. A relative one is meant as of now.
            nice: By how much to raise the nice value, as in ``os.nice``.
            cpus: The numbers of the CPUs that all workers may run on; or "each": one CPU for each
                worker, number i on the i-th that is usable, round robin.
            threads: How many threads BLAS, OpenMP and the like may use in each worker; or "auto":
                the worker's share of the CPUs, at least 1, where the user has not set the
                library's variable. Libraries that the worker has loaded already (by a fork) are
                reached if ``threadpoolctl`` is installed.
            seed: Each worker gets its own reproducible numbers from ``random`` and
                ``numpy.random``. None: the numbers of each are its own, and not reproducible.

        Raises TypeError or ValueError, naming the argument, the cause and a remedy.
        """
        return cls(
            env=None if env is None else _checked_env(env),
            cwd=None if cwd is None else _checked_cwd(cwd),
            nice=None if nice is None else _checked_nice(nice),
            cpus=None if cpus is None else _checked_cpus(cpus),
            threads=None if threads is None else _checked_threads(threads),
            seed=None if seed is None else _checked_seed(seed),
        )

    def environment(self, number: int, workers: int) -> dict[str, str | None]:
        """What to change in the environment before worker `number` of `workers` starts.

        `threads` is in it: native libraries read their variable when they are loaded, not later.
        What `env` says goes first; with "auto", so does what this process has already.
        """
        changes: dict[str, str | None] = {}
        threads = self._threads_each(workers)
        if threads is not None:
            kept = os.environ if self.threads == "auto" else {}
            changes.update((name, f"{threads}") for name in THREAD_VARIABLES if not kept.get(name))
        changes.update(self.env or {})
        return changes

    def apply(self, number: int, workers: int, *, generation: int = 0) -> None:
        """Make it so, in this process: worker `number` (from 0) of `workers`.

        To be called before any code of the user's, in the thread that will run it: priority, CPUs
        and the limits of some libraries belong to a thread, and others get theirs from it.

        `generation` counts the workers that had this number before. It is part of the derivation
        of the seed, so a replacement does not repeat its predecessor's numbers.

        Raises OSError, or RuntimeError for what is no error of the system's, naming the option,
        the cause and a remedy. ValueError if PROCESSION_CPU_COUNT makes no sense.
        """
        if self.env is not None or self.threads is not None:
            changes = self.environment(number, workers)
            with _naming("env", "names and values must be what the system takes"):
                _change_environment(changes)
        else:
            changes = {}
        if self.cwd is not None:
            with _naming(f"cwd={self.cwd!r}", "the folder must exist as long as workers start"):
                os.chdir(self.cwd)
        if self.cpus is not None:
            self._pin(number)
        if self.nice is not None:
            with _naming(f"nice={self.nice}", "less than 0 needs a privilege (CAP_SYS_NICE)"):
                os.nice(self.nice)
        if self.threads is not None:
            with _naming(f"threads={self.threads!r}", "leave it out, or set the variables"):
                _limit_loaded(changes)
        self._seed(number, generation)

    def _threads_each(self, workers: int) -> int | None:
        if self.threads != "auto":
            return self.threads
        if self.cpus == "each":
            return 1
        usable = cpu_count()
        if self.cpus is not None:
            usable = min(usable, len(self.cpus))
        return max(usable // workers, 1)

    def _pin(self, number: int) -> None:
        usable = sorted(os.sched_getaffinity(0))
        chosen: Iterable[int] = (usable[number % len(usable)],)
        shown = "'each'"
        if isinstance(self.cpus, frozenset):
            chosen = self.cpus
            shown = f"{sorted(self.cpus)}"
        with _naming(f"cpus={shown}", f"the CPUs that can be used now are {usable}"):
            os.sched_setaffinity(0, chosen)

    def _seed(self, number: int, generation: int) -> None:
        """See to it that no two workers draw the same random numbers.

        Python's ``random`` seeds itself anew after each fork; numpy's global generator does not,
        and all forked workers would draw what the parent would have drawn. With a seed, both get
        one derived from it. Not the same one: they are the same algorithm, and would give the same
        numbers.

        If numpy is not loaded yet, a finder waits for it. To load it here would cost a tenth of a
        second in each worker, also in those that have no use for it; and there is no later moment
        that comes before a task's own ``import numpy`` and its first number. The finder costs a
        comparison for each module that is loaded, and goes when it has done its work.
        """
        _draw_anew_in_children()
        if self.seed is None:
            if _NUMPY_RANDOM in sys.modules:
                _seed_numpy(struct.unpack("4I", os.urandom(16)))
            return
        import random

        random.seed(int.from_bytes(self._derived("random", number, generation), "little"))
        words = struct.unpack("<8I", self._derived(_NUMPY_RANDOM, number, generation))
        if _NUMPY_RANDOM in sys.modules:
            _seed_numpy(words)
        else:
            sys.meta_path.insert(0, _NumpyWatch(words))

    def _derived(self, purpose: str, number: int, generation: int) -> bytes:
        import hashlib

        # In hexadecimal: Python refuses to write very long numbers in decimal.
        return hashlib.sha256(f"{self.seed:x}:{number}:{generation}:{purpose}".encode()).digest()


NONE = Surroundings()
"""Everything as the parent has it; only the random numbers are the worker's own."""


@contextlib.contextmanager
def _naming(option: str, remedy: str) -> Iterator[None]:
    """Let an error say which option could not be applied."""
    try:
        yield
    except OSError as error:
        text = f"{option} could not be applied in the worker: {error.strerror or error}; {remedy}"
        raise OSError(error.errno, text) from error
    except Exception as error:
        text = f"{option} could not be applied in the worker: {error!r}; {remedy}"
        raise RuntimeError(text) from error


def _change_environment(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


# Threads of loaded libraries


def _limit_loaded(changes: Mapping[str, str | None]) -> None:
    """Give loaded libraries the number that they would have read, were they loaded now."""
    if not _has_pools():
        return
    try:
        import threadpoolctl
    except ImportError:
        return
    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        variable = _VARIABLE_OF.get(library.internal_api, "OMP_NUM_THREADS")
        # OpenMP takes a list: a number for each level of nesting.
        number = (changes.get(variable) or "").partition(",")[0].strip()
        if number.isdecimal() and int(number) > 0:
            library.set_num_threads(int(number))
            # Or no other thread of the worker could ever set a limit of its own.
            getattr(library, "clear_controlling_thread", bool)()


def _has_pools() -> bool:
    """Whether a library is loaded that threadpoolctl could limit: to load that takes far longer."""
    try:
        with open("/proc/self/maps", "rb") as file:
            return _LIBRARY.search(file.read()) is not None
    except OSError:
        return True  # let threadpoolctl see for itself


# Random numbers of numpy


def _seed_numpy(words: tuple[int, ...]) -> None:
    module = sys.modules[_NUMPY_RANDOM]
    seed = getattr(module, "seed", None)
    if seed is None:  # half loaded: another thread was at it when the parent forked
        return
    _free_generator(module)
    with _naming("seed", "numpy's global generator must be one that takes a seed"):
        seed(words)


@functools.cache
def _draw_anew_in_children() -> None:
    os.register_at_fork(after_in_child=_draw_anew)


def _draw_anew() -> None:
    # In a child of a worker's own, which is not to repeat the worker's numbers.
    with contextlib.suppress(Exception):
        if _NUMPY_RANDOM in sys.modules:
            _seed_numpy(struct.unpack("4I", os.urandom(16)))


def _free_generator(module: ModuleType) -> None:
    """Free the generator's lock if a thread held it that the fork has left behind.

    What that thread may have left half done does not matter: the seed sets everything anew.
    """
    if not hasattr(module, "get_bit_generator"):  # numpy before 1.24
        return
    lock = module.get_bit_generator().lock
    if lock.acquire(blocking=False):
        lock.release()
    elif threading.active_count() == 1:
        lock._at_fork_reinit()


class _NumpyWatch:
    """A finder, and a loader, that seeds ``numpy.random`` when this process loads it.

    Processes that this one forks keep the finder, but not the seed: they would repeat it.
    """

    def __init__(self, words: tuple[int, ...]) -> None:
        self._words = words
        self._pid = os.getpid()
        self._loader: Loader | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Have the others find it, and put ourselves in the loader's place."""
        if name != _NUMPY_RANDOM or os.getpid() != self._pid:
            return None
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    self._loader, spec.loader = spec.loader, cast("Loader", self)
                return spec
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the loader does it."""
        return self._of().create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the loader does it, which the module gets to see in our place; then seed."""
        loader = self._of()
        module.__loader__ = loader
        if module.__spec__ is not None:
            module.__spec__.loader = loader
        loader.exec_module(module)
        _seed_numpy(self._words)
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)

    def _of(self) -> Loader:
        assert self._loader is not None
        return self._loader


# Checks in the parent


def _checked_env(env: object) -> dict[str, str | None]:
    if not isinstance(env, Mapping):
        raise TypeError(
            "env must be a mapping of names to texts, such as {'LANG': 'C'}, "
            f"not of type {type(env).__name__}"
        )
    checked: dict[str, str | None] = {}
    for name, value in env.items():
        if not isinstance(name, str):
            raise TypeError(f"env has a name that is no text: {name!r}; names must be of type str")
        if not name or "=" in name or not _system_takes(name):
            raise ValueError(
                f"env has the name {name!r}, which no variable can have: "
                "names must not be empty, and must not contain '=' or a null character"
            )
        # The value itself is not shown: it may be a secret.
        if value is not None and not isinstance(value, str):
            raise TypeError(
                f"env[{name!r}] must be a text, or None to remove the variable, not of type "
                f"{type(value).__name__}; str() makes a text of it"
            )
        if value is not None and not _system_takes(value):
            raise ValueError(
                f"env[{name!r}] contains a null character, or one that can not be encoded: "
                "no variable can hold that, so it must be left out"
            )
        checked[name] = value
    return checked


def _system_takes(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _checked_cwd(cwd: object) -> str:
    path = cwd.__fspath__() if isinstance(cwd, os.PathLike) else cwd
    if not isinstance(path, str):
        raise TypeError(f"cwd must be a folder's path, of type str or pathlib.Path, not {cwd!r}")
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise ValueError(
            f"cwd={path!r} can not be used: {cause}; it must name a folder that exists"
        ) from None
    if not is_folder:
        raise ValueError(f"cwd={path!r} is not a folder; it must name one that exists")
    return os.path.abspath(path)


def _checked_nice(nice: object) -> int:
    increment = whole("nice", nice)
    if abs(increment) > _STEEPEST:
        raise ValueError(
            f"nice must be an increment from -{_STEEPEST} to {_STEEPEST}: "
            "nice values go from -20 to 19, so a larger step leads nowhere"
        )
    return increment


def _checked_cpus(cpus: object) -> frozenset[int] | Literal["each"]:
    meaning = "a set of CPU numbers, such as {0, 1}, or 'each' for one CPU a worker"
    if cpus == "each":
        return "each"
    if isinstance(cpus, str):
        raise ValueError(f"cpus must be {meaning}, not {cpus!r}")
    if not isinstance(cpus, Iterable):
        raise TypeError(f"cpus must be {meaning}, not {cpus!r}")
    numbers = frozenset(whole("a CPU number in cpus", number) for number in cpus)
    if not numbers:
        raise ValueError(f"cpus is empty, so no worker could run; it must be {meaning}")
    usable = os.sched_getaffinity(0)
    if not numbers <= usable:
        raise ValueError(
            f"cpus names CPUs that this process can not use: {sorted(numbers - usable)}; "
            f"it can use {sorted(usable)}"
        )
    return numbers


def _checked_threads(threads: object) -> int | Literal["auto"]:
    if threads == "auto":
        cpu_count()  # raises now, not in each worker, if it is set to nonsense
        return "auto"
    if isinstance(threads, str):
        raise ValueError(f"threads must be a whole number or 'auto', not {threads!r}")
    count = whole("threads", threads, "or 'auto'")
    if count < 1:
        raise ValueError(f"threads must be at least 1, not {count}: a worker is a thread itself")
    return count


def _checked_seed(seed: object) -> int:
    number = whole("seed", seed)
    if number < 0:
        raise ValueError("seed must not be negative; any whole number from 0 on will do")
    return number


def whole(name: str, value: object, otherwise: str = "") -> int:
    """An int, or what counts as one (numpy's), but not a truth value.

    Raises:
        TypeError: it is none; the message has the name.
    """
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        with contextlib.suppress(TypeError):
            return operator.index(value)
    must = f"{name} must be a whole number {otherwise}".rstrip()
    raise TypeError(f"{must}, not {value!r} (of type {type(value).__name__}); int() makes one")
