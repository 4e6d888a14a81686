"""How the doors open a call with a journal, and what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from procession._engine.options import Options
from procession._engine.sources import Input, Pulled
from procession._engine.streams import begin
from procession._journal.file import Journal
from procession._journal.forms import PICKLE, Form
from procession._journal.identity import Identity, digest, digest_of, identify
from procession._journal.jobs import RecordedJob
from procession._journal.recorder import await_ends
from procession._journal.sieve import Entered, Sieve

if TYPE_CHECKING:
    from procession._engine.engine import Engine


def stream_recorded(
    engine: Engine,
    function: Callable[..., Any],
    source: Input,
    chunk_size: int | None,
    options: Options,
) -> RecordedJob:
    """Begin an imap call with a journal; it has to be consumed or closed.

    Raises:
        JournalError: the journal can not be used, or is another function's.
    """
    if not engine.is_running():
        engine.refuse()
    return open_call(engine, function, source, chunk_size, options, PICKLE, enter_pickled)


def map_recorded(
    engine: Engine,
    function: Callable[..., Any],
    items: Iterable[Any],
    chunk_size: int | None,
    options: Options,
) -> list[Any]:
    """A map call with a journal: all values, in order. See ``stream_recorded``.

    Raises:
        Exception: the first, in the order of the items, that one raised. All items were run.
    """
    source = Pulled(items, whole=chunk_size is not None)
    job = stream_recorded(engine, function, source, chunk_size, options.changed(ordered=True))
    values: list[Any] = []
    first_error: BaseException | None = None
    try:
        while True:
            outcome = job.next()
            assert outcome is not None  # nothing limits the time
            success, value = outcome
            if success:
                values.append(value)
            elif first_error is None:
                first_error = value
    except StopIteration:
        pass
    finally:
        job.close()
    if first_error is None:
        return values
    try:
        raise first_error
    finally:
        del first_error  # its traceback leads here


def open_call(
    engine: Engine,
    function: Callable[..., Any],
    source: Input,
    chunk_size: int | None,
    options: Options,
    form: Form,
    enter: Callable[[Any], Entered],
) -> RecordedJob:
    """Begin a call whose outcomes are known by their positions; recorded, if there is a journal.

    Args:
        options: as for imap; ``journal``: None for none.
        form: what is recorded and delivered of values.
        enter: what an item of the input is sent as, and known by.

    Raises:
        JournalError: the journal can not be used, or is another function's.
    """
    log = None
    if options.journal is not None:
        await_ends()
        path, changed = _settings(options.journal)
        identity = _named(identify(function), options)
        journal = Journal(path)
        try:
            log = journal.call(identity, form, changed)
        except BaseException:
            journal.close()
            raise
    sieve = Sieve(source, log, enter, options.max_in_flight)
    job = RecordedJob(engine, function, sieve, chunk_size, options, form, log)
    job.open()
    begin(job)
    return job


def enter_pickled(item: Any) -> Entered:
    """An item that is known by its pickle; one that has none fails where it is sent."""
    try:
        return Entered(item, digest_of(item))
    except Exception:
        return Entered(item)


def _settings(journal: Any) -> tuple[Any, str]:
    if isinstance(journal, Mapping):
        return journal["path"], journal.get("changed", "error")
    return journal, "error"


def _named(identity: Identity, options: Options) -> Identity:
    """By the name that the caller has given it, if any."""
    captured = digest(identity.captured + bytes([options.star]))
    return Identity(options.name or identity.name, identity.code, captured)
