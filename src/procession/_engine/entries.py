"""What stands in the ledger: something sent to the workers that has no outcome yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from procession._codec import messages
from procession._codec.exceptions import decode_exception
from procession._codec.objects import loads, short_repr

if TYPE_CHECKING:
    from procession._engine.engine import Engine


class Settleable(Protocol):
    """What a thread can wait for."""

    settled: bool


class Entry(Protocol):
    """A record on its way: a task, or a chunk of a map."""

    number: int
    block: int

    def arrive(self, engine: Engine, kind: int, payload: bytes | memoryview, taken: int) -> None:
        """Its answer is here; ``taken`` nanoseconds of a worker's time."""

    def fail(self, engine: Engine, error: BaseException) -> None:
        """It gets no answer."""

    def resend(self, engine: Engine, *, by_value: bool = False) -> None:
        """It was certainly not run: send it once more."""

    def describe(self, item: int) -> tuple[str, int | None]:
        """In short, for people: the call, and the item's index within it."""


def function_name(function: Any) -> str:
    """A function's name for people."""
    return getattr(function, "__qualname__", None) or short_repr(function)


def decode_outcome(kind: int, payload: bytes | memoryview) -> tuple[bool, Any]:
    """``(True, value)`` or ``(False, exception)``; never raises."""
    if kind == messages.VALUE:
        try:
            return True, loads(payload)
        except Exception as error:
            error.add_note("(the task's result was pickled, but can not be unpickled here)")
            return False, error
    return False, decode_exception(payload)


class Task:
    """One call, and its outcome.

    Attributes:
        settled: whether there is an outcome.
        success: whether it is a value; else ``value`` is an exception.
    """

    __slots__ = (
        "__weakref__",
        "args",
        "block",
        "callback",
        "error_callback",
        "function",
        "kwds",
        "number",
        "settled",
        "success",
        "value",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwds: dict[str, Any],
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> None:
        self.function = function
        self.args = args
        self.kwds = kwds
        self.callback = callback
        self.error_callback = error_callback
        self.settled = False
        self.block = 0

    def arrive(self, engine: Engine, kind: int, payload: bytes | memoryview, taken: int) -> None:
        """Settle it, or send its function by value if the worker asks for that."""
        if kind == messages.VALUE:
            try:
                self.value = loads(payload)
                self.success = True
            except Exception as error:
                error.add_note("(the task's result was pickled, but can not be unpickled here)")
                self.value = error
                self.success = False
        elif kind == messages.BY_VALUE:
            self.resend(engine, by_value=True)
            return
        else:
            self.value = decode_exception(payload)
            self.success = False
        self._settle(engine)

    def fail(self, engine: Engine, error: BaseException) -> None:
        """Settle it with an error of ours."""
        self.value = error
        self.success = False
        self._settle(engine)

    def resend(self, engine: Engine, *, by_value: bool = False) -> None:
        """Send it once more under its number."""
        engine.send_task(self, by_value=by_value)

    def describe(self, item: int) -> tuple[str, int | None]:
        """``f(1, x=2)``, shortened."""
        words = [short_repr(argument) for argument in self.args]
        words += [f"{name}={short_repr(value)}" for name, value in self.kwds.items()]
        return f"{function_name(self.function)}({', '.join(words)})", None

    def _settle(self, engine: Engine) -> None:
        self.args = ()
        self.kwds = {}
        self.settled = True
        callback = self.callback if self.success else self.error_callback
        if callback is not None:
            engine.call_back(callback, self.value)
        if self.callback is not None or self.error_callback is not None:
            engine.unattended.discard(self)
