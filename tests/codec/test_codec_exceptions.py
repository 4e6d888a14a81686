"""Every error arrives: as itself where that can be, else as a RemoteError that tells of it."""

from __future__ import annotations

import pickle
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession._codec.exceptions import MOST_TEXT, decode_exception, encode_exception
from procession.errors.pool import RemoteError, RemoteTraceback


def _raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def _travel(error: BaseException) -> Any:
    return decode_exception(encode_exception(_raised(error)))


class Plain(Exception):
    pass


class Unloadable(Exception):
    def __reduce__(self) -> Any:
        return int, ("no number",)


class OtherArguments(Exception):
    def __init__(self, code: int, *, place: str) -> None:
        super().__init__(f"code {code} at {place}")
        self.code = code
        self.place = place


class OneFormatted(Exception):
    """Plain pickle would format twice."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no {name}")


class EndsWithOtherArguments(SystemExit):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code)
        self.reason = reason


class KnowsItself(Exception):
    def __init__(self, *, reason: str) -> None:
        super().__init__(reason)
        self.me = self


@dataclass(frozen=True)
class Frozen(Exception):
    number: int


class KeepsAState(Exception):
    def __setstate__(self, state: dict[str, Any] | None) -> None:
        assert state is not None
        self.__dict__.update(state, restored=True)


class ReducesItself(Exception):
    """Its notes are not part of what it pickles."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")
        self.pair = first, second

    def __reduce__(self) -> tuple[Any, ...]:
        return ReducesItself, self.pair


class HoldsALock(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class LoadsNowhere(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (b"nothing",)


class EndsWhereItLoads(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return exit, (3,)


class BecomesSomethingElse(Exception):
    def __reduce__(self) -> tuple[Any, ...]:
        return str, ("no exception",)


class Unspeakable(Exception):
    """Raises whatever it is asked."""

    def __init__(self, answer: type[BaseException]) -> None:
        super().__init__()
        self.answer = answer

    def __str__(self) -> str:
        raise self.answer("in __str__")

    __repr__ = __str__

    def __reduce__(self) -> tuple[Any, ...]:
        raise self.answer("in __reduce__")

    def __getattribute__(self, name: str) -> Any:
        if name == "__notes__":
            raise object.__getattribute__(self, "answer")("in __notes__")
        return super().__getattribute__(name)


AS_THEMSELVES: list[BaseException] = [
    Plain("text", 2),
    ValueError(),
    KeyError("key"),
    OSError(2, "No such file", "name"),
    UnicodeDecodeError("ascii", b"\xff", 0, 1, "why"),
    StopIteration(3),
    SystemExit(4),
    SystemExit(None),
    KeyboardInterrupt(),
    OtherArguments(5, place="here"),
    OneFormatted("milk"),
    EndsWithOtherArguments(6, "why"),
    Frozen(7),
    ReducesItself(1, 2),
]


@pytest.mark.parametrize("error", AS_THEMSELVES, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_itself(error: BaseException) -> None:
    expected = (type(error), error.args, str(error), vars(error))
    arrived = _travel(error)
    assert (type(arrived), arrived.args, str(arrived), vars(arrived)) == expected
    assert getattr(arrived, "code", None) == getattr(error, "code", None)


@pytest.mark.parametrize("error", AS_THEMSELVES, ids=lambda error: type(error).__name__)
def test_notes_are_kept(error: BaseException) -> None:
    BaseException.__setattr__(error, "__notes__", ["first", "second"])
    try:
        assert _travel(error).__notes__ == ["first", "second"]
    finally:
        del vars(error)["__notes__"]


def test_the_cause_is_the_traceback_of_the_worker() -> None:
    def fail() -> None:
        try:
            raise KeyError("before")
        except KeyError as before:
            raise ValueError("then") from before

    with pytest.raises(ValueError, match="then") as raised:
        fail()
    arrived = decode_exception(encode_exception(raised.value))
    assert isinstance(arrived.__cause__, RemoteTraceback)
    text = str(arrived.__cause__)
    assert text.startswith('\n"""\nTraceback (most recent call last):\n')
    assert text.endswith('ValueError: then\n"""')
    assert "KeyError: 'before'" in text
    assert ", in fail\n" in text
    # What an uncaught one looks like to the user.
    shown = "".join(traceback.format_exception(arrived))
    assert ", in fail\n" in shown
    assert shown.endswith("\nValueError: then\n")


def test_frames_of_ours_are_left_out() -> None:
    def ours() -> None:
        theirs()

    def theirs() -> None:
        raise ValueError

    with pytest.raises(ValueError, match="^$") as raised:
        ours()
    whole, short, none = (
        str(decode_exception(encode_exception(raised.value, skip_frames=count)).__cause__)
        for count in (0, 2, 99)
    )
    assert ", in ours\n" in whole
    assert ", in ours\n" not in short
    assert ", in theirs\n" in short
    assert none == '\n"""\nValueError\n"""'


def test_one_that_refers_to_itself_arrives() -> None:
    arrived = _travel(KnowsItself(reason="why"))
    assert type(arrived) is KnowsItself
    assert arrived.me is arrived


def test_a_state_of_its_own_is_set_its_own_way() -> None:
    error = KeepsAState("text")
    error.number = 1  # type: ignore[attr-defined]
    arrived = _travel(error)
    assert (arrived.number, arrived.restored) == (1, True)


def test_a_group_arrives_with_its_members() -> None:
    inner = ExceptionGroup("inner", [OtherArguments(1, place="there"), Plain("p")])
    arrived = _travel(ExceptionGroup("outer", [inner, ValueError("v")]))
    assert isinstance(arrived, ExceptionGroup)
    assert arrived.message == "outer"
    arrived_inner, other = arrived.exceptions
    assert [str(arrived_inner.exceptions[0]), str(other)] == ["code 1 at there", "v"]
    assert "Plain: p" in str(arrived.__cause__)


def test_a_group_of_what_can_not_be_pickled_is_told_of() -> None:
    arrived = _travel(ExceptionGroup("group", [HoldsALock("locked")]))
    assert isinstance(arrived, RemoteError)
    assert "HoldsALock: locked" in arrived.traceback


def test_one_of_a_class_without_a_name_travels_by_value() -> None:
    class Local(Exception):
        def __init__(self, *, reason: str) -> None:
            super().__init__(reason)

    arrived = _travel(Local(reason="why"))
    assert type(arrived).__qualname__ == Local.__qualname__
    assert arrived.args == ("why",)


def test_what_can_not_be_pickled_is_told_of() -> None:
    error = HoldsALock("locked")
    error.add_note("a note")
    arrived = _travel(error)
    assert type(arrived) is RemoteError
    assert arrived.type_name == f"{__name__}.HoldsALock"
    assert arrived.text == "locked"
    assert arrived.notes == ["a note"]
    assert arrived.traceback.endswith("HoldsALock: locked\na note\n")
    assert str(arrived) == f"{__name__}.HoldsALock: locked\na note"
    assert isinstance(arrived.__cause__, RemoteTraceback)
    assert str(pickle.loads(pickle.dumps(arrived))) == str(arrived)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LoadsNowhere("text"), "UnpicklingError"),
        (EndsWhereItLoads("text"), "SystemExit"),
    ],
)
def test_what_does_not_load_is_told_of(error: BaseException, reason: str) -> None:
    arrived = _travel(error)
    assert type(arrived) is RemoteError
    assert arrived.text == "text"
    [note] = arrived.notes
    assert note.startswith("(its pickle does not load here: ")
    assert reason in note


def test_what_loads_as_something_else_is_told_of() -> None:
    arrived = _travel(BecomesSomethingElse("text"))
    assert type(arrived) is RemoteError
    assert arrived.text == "text"


@pytest.mark.parametrize("answer", [ValueError, SystemExit, KeyboardInterrupt, Unspeakable])
def test_one_that_raises_whatever_it_is_asked_is_told_of(answer: type[BaseException]) -> None:
    arrived = _travel(Unspeakable(answer))
    assert type(arrived) is RemoteError
    assert arrived.type_name == f"{__name__}.Unspeakable"
    assert "raised" in arrived.text


def test_notes_that_are_no_notes_do_not_hinder() -> None:
    for notes in (3, [object()], None):
        error = Plain("text")
        error.__notes__ = notes  # type: ignore[assignment]
        assert str(_travel(error)) == "text"


def test_ctrl_c_while_one_is_loaded_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    payload = encode_exception(OneFormatted("milk"))

    def interrupt(self: object, name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(OneFormatted, "__init__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode_exception(payload)


def test_what_is_large_in_an_error_arrives_and_its_text_is_cut() -> None:
    content = bytes(range(256)) * 40_000
    error = Plain(content, np.arange(2_000_000)[::2], memoryview(bytearray(content)))
    arrived = _travel(error)
    assert type(arrived) is Plain
    assert arrived.args[0] == content
    assert np.array_equal(arrived.args[1], np.arange(0, 2_000_000, 2))
    assert (arrived.args[2].readonly, arrived.args[2] == content) == (False, True)
    told = str(arrived.__cause__)
    assert MOST_TEXT < len(told) < MOST_TEXT + 1000
    assert "characters ..." in told
    assert "in _raised" in told
    assert "raise error" in told


def test_a_large_error_that_does_not_load_is_told_with_its_text() -> None:
    arrived = _travel(Unloadable("x" * 1_000_000))
    assert type(arrived) is RemoteError
    assert str(arrived).count("x") in range(MOST_TEXT - 100, MOST_TEXT + 100)


_SCALARS = st.one_of(st.integers(), st.text(), st.binary(), st.none(), st.booleans())
_KINDS: list[Callable[..., BaseException]] = [
    Plain,
    ValueError,
    KeyError,
    RuntimeError,
    LookupError,
]


@given(st.sampled_from(_KINDS), st.lists(_SCALARS), st.lists(st.text()))
def test_arguments_and_notes_survive_whatever_they_are(
    kind: Callable[..., BaseException], args: list[Any], notes: list[str]
) -> None:
    error = kind(*args)
    for note in notes:
        error.add_note(note)
    arrived = _travel(error)
    assert type(arrived) is kind
    assert arrived.args == tuple(args)
    assert getattr(arrived, "__notes__", []) == notes
