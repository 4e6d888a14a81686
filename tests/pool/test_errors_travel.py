"""What a task raises comes back as itself, with the lines it was raised in."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from procession.errors.pool import MaybeEncodingError, RemoteError, RemoteTraceback
from procession.pool import Pool
from tests.pool.gates import error_of


class Custom(Exception):
    """Hands on another message than its arguments."""

    def __init__(self, code: int, *, where: str = "here") -> None:
        super().__init__(f"code {code} {where}")
        self.code = code
        self.where = where


class Unpicklable(Exception):
    """Holds what can not be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Stubborn:
    """Can be pickled, and not be unpickled in the process that made this module's pools."""

    def __reduce__(self) -> Any:
        return _not_here, ("no way back",)


def _not_here(text: str) -> Any:
    raise OSError(text)


def _raise(error: BaseException) -> None:
    raise error


def _raise_custom(code: int) -> None:
    raise Custom(code, where="there")


def _nest(depth: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    return nested


def _raise_unpicklable(_: int = 0) -> None:
    error = Unpicklable("held fast")
    error.add_note("a note")
    raise error


def _deep(depth: int) -> int:
    return 1 // depth if not depth else _deep(depth - 1)


def _odd_fails(x: int) -> int:
    if x % 2:
        raise LookupError(x)
    return x


def _nothing() -> Iterator[int]:
    yield from ()


def _give(what: str) -> Any:
    return {"lock": threading.Lock(), "generator": iter(_nothing()), "stubborn": Stubborn()}[what]


CALLS: list[tuple[str, Callable[[Any, Any, Any], Any]]] = [
    ("apply", lambda pool, f, x: pool.apply(f, (x,))),
    ("apply_async", lambda pool, f, x: pool.apply_async(f, (x,)).get()),
    ("map", lambda pool, f, x: pool.map(f, [x])),
    ("map_async", lambda pool, f, x: pool.map_async(f, [x]).get()),
    ("starmap", lambda pool, f, x: pool.starmap(f, [(x,)])),
    ("imap", lambda pool, f, x: list(pool.imap(f, [x]))),
    ("imap in chunks", lambda pool, f, x: list(pool.imap(f, [x], 2))),
    ("imap_unordered", lambda pool, f, x: list(pool.imap_unordered(f, [x]))),
]
each_call = pytest.mark.parametrize("call", [pytest.param(call, id=name) for name, call in CALLS])


@each_call
def test_the_exception_itself_with_the_worker_s_traceback(
    any_pool: Any, call: Callable[..., Any]
) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        call(any_pool, _deep, 2)
    cause = caught.value.__cause__
    assert type(cause).__name__ == "RemoteTraceback"
    text = str(cause)
    assert text.count(", in _deep") >= 1
    assert "1 // depth" in text
    assert text.rstrip('"\n').endswith("ZeroDivisionError: integer division or modulo by zero")
    # A traceback printed as usual shows it.
    assert "1 // depth" in "".join(traceback.format_exception(caught.value))


@each_call
def test_the_traceback_has_no_lines_of_ours(pool: Pool, call: Callable[..., Any]) -> None:
    with pytest.raises(LookupError) as caught:
        call(pool, _odd_fails, 1)
    text = str(caught.value.__cause__)
    lines = [line for line in text.splitlines() if line.lstrip().startswith("File ")]
    assert len(lines) == 1
    assert __file__ in lines[0]
    assert lines[0].endswith("in _odd_fails")


@each_call
def test_an_exception_with_a_constructor_of_its_own(pool: Pool, call: Callable[..., Any]) -> None:
    with pytest.raises(Custom) as caught:
        call(pool, _raise_custom, 7)
    assert (caught.value.code, caught.value.where) == (7, "there")
    assert str(caught.value) == "code 7 there"
    assert isinstance(caught.value.__cause__, RemoteTraceback)


@each_call
def test_a_result_that_is_nested_too_deeply(pool: Pool, call: Callable[..., Any]) -> None:
    with pytest.raises(MaybeEncodingError) as caught:
        call(pool, _nest, 200_000)
    assert caught.value.value == "<list object, whose repr() raised RecursionError>"
    assert "RecursionError" in caught.value.exc
    assert pool.apply(abs, (-1,)) == 1


@each_call
def test_an_exception_that_can_not_be_pickled(pool: Pool, call: Callable[..., Any]) -> None:
    with pytest.raises(RemoteError) as caught:
        call(pool, _raise_unpicklable, 0)
    error = caught.value
    assert error.type_name.endswith("test_errors_travel.Unpicklable")
    assert error.text == "held fast"
    assert error.notes == ["a note"]
    assert "in _raise_unpicklable" in error.traceback
    assert "held fast" in str(error)
    assert "in _raise_unpicklable" in str(error.__cause__)
    assert pool.apply(abs, (-1,)) == 1


@each_call
@pytest.mark.parametrize("what", ["lock", "generator"])
def test_a_result_that_can_not_be_pickled(
    any_pool: Any, call: Callable[..., Any], what: str
) -> None:
    with pytest.raises(Exception, match="Error sending result") as caught:
        call(any_pool, _give, what)
    assert type(caught.value).__name__ == "MaybeEncodingError"
    assert what in str(caught.value)
    assert any_pool.apply(abs, (-1,)) == 1


def test_the_encoding_error_tells_both_sides(pool: Pool) -> None:
    error = error_of(pool.apply_async(_give, ("lock",)))
    assert type(error) is MaybeEncodingError
    assert "_thread.lock" in error.value
    assert "cannot pickle" in error.exc
    assert repr(error).startswith("<MaybeEncodingError: Error sending result")


def test_in_a_chunk_only_the_item_that_can_not_be_pickled_fails(pool: Pool) -> None:
    results = pool.imap(lambda x: x if x != 2 else _nothing(), range(5), 5)
    found: list[Any] = []
    for _ in range(5):
        try:
            found.append(next(results))
        except MaybeEncodingError:
            found.append("error")
    assert found == [0, 1, "error", 3, 4]


@each_call
def test_a_result_that_can_not_be_unpickled_here(pool: Pool, call: Callable[..., Any]) -> None:
    with pytest.raises(OSError, match="no way back") as caught:
        call(pool, _give, "stubborn")
    assert any("can not be unpickled here" in note for note in caught.value.__notes__)
    assert pool.apply(abs, (-1,)) == 1


def test_waiting_for_what_can_not_be_unpickled(pool: Pool) -> None:
    result = pool.apply_async(_give, ("stubborn",))
    result.wait()
    assert result.ready()
    assert not result.successful()
    errors: list[BaseException] = []
    called_back = pool.apply_async(_give, ("stubborn",), error_callback=errors.append)
    assert type(error_of(called_back)) is OSError
    assert [type(error) for error in errors] == [OSError]


@each_call
@pytest.mark.parametrize("error", [SystemExit(3), SystemExit("bye"), KeyboardInterrupt("stop")])
def test_exits_come_back_and_end_no_worker(
    pool: Pool, call: Callable[..., Any], error: BaseException
) -> None:
    pids = _pids(pool)
    with pytest.raises(type(error)) as caught:
        call(pool, _raise, error)
    assert caught.value.args == error.args
    if isinstance(error, SystemExit):
        assert caught.value.code == error.code  # type: ignore[attr-defined]
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert _pids(pool) == pids


class _ExitsWhenPickled:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise self.error


def _exit_when_pickled(code: int) -> _ExitsWhenPickled:
    return _ExitsWhenPickled(SystemExit(code) if code else KeyboardInterrupt())


@pytest.mark.parametrize("code", [3, 0])
def test_results_that_exit_when_they_are_pickled_end_no_worker(pool: Pool, code: int) -> None:
    pids = _pids(pool)
    for _ in range(4):  # the first time a worker meets a function, and from then on
        with pytest.raises(SystemExit if code else KeyboardInterrupt):
            pool.apply(_exit_when_pickled, (code,))
    assert _pids(pool) == pids


def _leave_open(path: str) -> None:
    left = open(path, "w")  # noqa: SIM115
    left.write("all of it")
    raise LookupError(path)


def test_what_a_failed_call_has_left_open_is_closed_when_that_is_told(
    pool: Pool, tmp_path: Path
) -> None:
    for _ in range(4):
        path = tmp_path / "left"
        assert type(error_of(pool.apply_async(_leave_open, (str(path),)))) is LookupError
        assert path.read_text() == "all of it"


def _pids(pool: Pool) -> set[int]:
    return {worker.child.pid for worker in pool._engine.supervisor._crew}


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        KeyError("key"),
        OSError(2, "No such file or directory", "name"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        StopIteration(5),
        GeneratorExit(),
        AssertionError("a", "b"),
    ],
)
def test_builtin_exceptions_keep_what_they_say(any_pool: Any, error: BaseException) -> None:
    result = any_pool.apply_async(_raise, (error,))
    if isinstance(error, Exception) or isinstance(any_pool, Pool):
        found = error_of(result)
        assert type(found) is type(error)
        assert (found.args, str(found)) == (error.args, str(error))
        if isinstance(found, OSError):
            assert (found.errno, found.filename) == (2, "name")


def _raise_with_notes() -> None:
    error = ValueError("noted")
    error.add_note("first")
    error.add_note("second")
    raise error


def test_notes_come_along(pool: Pool) -> None:
    error = error_of(pool.apply_async(_raise_with_notes))
    assert error.__notes__ == ["first", "second"]


def _raise_group() -> None:
    raise ExceptionGroup("many", [ValueError(1), ExceptionGroup("inner", [KeyError("k")])])


def test_groups_come_whole(pool: Pool) -> None:
    error = error_of(pool.apply_async(_raise_group))
    assert type(error) is ExceptionGroup
    assert error.message == "many"
    assert type(error.exceptions[0]) is ValueError
    assert error.exceptions[1].exceptions[0].args == ("k",)
    matched, rest = error.split(KeyError)
    assert matched is not None
    assert rest is not None


def _raise_chain() -> None:
    try:
        _deep(0)
    except ZeroDivisionError as error:
        raise RuntimeError("outer") from error


def test_the_text_shows_what_caused_it(pool: Pool) -> None:
    text = str(error_of(pool.apply_async(_raise_chain)).__cause__)
    assert "ZeroDivisionError" in text
    assert "direct cause" in text
    assert text.index("ZeroDivisionError") < text.index("RuntimeError: outer")


def test_an_exception_class_made_in_the_task(pool: Pool) -> None:
    def fail() -> None:
        class Local(Exception):
            pass

        raise Local("made here")

    error = error_of(pool.apply_async(fail))
    assert type(error).__name__ == "Local"
    assert error.args == ("made here",)


@pytest.mark.parametrize("chunksize", [None, 1, 4, 100])
def test_one_failing_item_fails_the_map(any_pool: Any, chunksize: int | None) -> None:
    def items() -> list[int]:
        return [2 * x for x in range(40)]

    bad = [*items(), 7, *items()]
    for call in (any_pool.map, lambda *args: any_pool.map_async(*args).get()):
        with pytest.raises(LookupError) as caught:
            call(_odd_fails, bad, chunksize)
        assert caught.value.args == (7,)
    assert any_pool.map(_odd_fails, items(), chunksize) == items()


def test_the_same_error_each_time_it_is_asked_for(pool: Pool) -> None:
    for result in (pool.apply_async(_odd_fails, (1,)), pool.map_async(_odd_fails, [1])):
        assert error_of(result) is error_of(result)
        assert isinstance(error_of(result).__cause__, RemoteTraceback)


def test_a_huge_error_arrives(pool: Pool) -> None:
    error = error_of(pool.apply_async(_raise, (ValueError("x" * 3_000_000),)))
    assert type(error) is ValueError
    assert len(error.args[0]) == 3_000_000
