"""The reference names everything that is public, with its true signature, and nothing else."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import procession
from procession import connection, futures, pool, queues, shared_memory, synchronize
from procession._engine.opening import WorkerWords
from procession._engine.options import NAMES, Options
from procession._observe import memory
from tests.docs.pages import ROOT, prose

PAGE = ROOT / "docs/reference.md"

# Public, and described under the name of what it equals, or a class of results.
ALIASES = {"ApplyResult", "IMapUnorderedIterator", "ProcessPoolExecutor"}
RESULTS: dict[str, type] = {
    "AsyncResult": pool.AsyncResult,
    "MapResult": pool.MapResult,
    "IMapIterator": pool.IMapIterator,
    "Future": futures.Future,
}
# Here for the engine, or for `procession run`.
INTERNAL = {
    "AsyncResult": {*dir(pool.AsyncResult.__base__)} - {*dir(object)},
    "MapResult": {*dir(pool.AsyncResult.__base__), "outcome"} - {*dir(object)},
    "Future": {
        *dir(futures.Future.__base__),
        *("set_result", "set_exception", "set_running_or_notify_cancel"),
    },
    "TaskTimeout": {"locate"},
}
LENT = procession._BORROWED
# What the package's functions of these names make.
MADE: dict[str, type] = {
    name: getattr(module, name) for module in (synchronize, queues) for name in module.__all__
}
ERRORS_OF_QUEUES = {"Empty", "Full"}
# Public in a module of their own.
ELSEWHERE: dict[str, Any] = {
    **{name: getattr(shared_memory, name) for name in shared_memory.__all__},
    **{name: getattr(connection, name) for name in ("Connection", "Listener", "Client", "wait")},
}
SAMPLES: dict[str, Exception] = {
    "OwnerDied": procession.OwnerDied("Lock"),
    "WorkerDied": procession.WorkerDied(1, -9, "f()", 0),
    "TaskTimeout": procession.TaskTimeout(1.5, 1, "f()", 0),
    "RemoteError": procession.RemoteError("ValueError", "no", [], ""),
    "MaybeEncodingError": procession.MaybeEncodingError("no", "1"),
    "ArenaFull": procession.ArenaFull(3, 2, 1, 0),
    "JournalError": procession.JournalError("run.sqlite", "no"),
}

_ENTRY = re.compile(r"^(?:### |- )`(\w+)(\([^`]*\))?`")


class Entry(NamedTuple):
    """A name of the page, with its signature and what stands below it."""

    signature: str | None
    members: dict[str, str | None]


def _entries() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    current: Entry | None = None
    for _, line in prose(PAGE):
        if line.startswith("## "):
            current = None
        match = _ENTRY.match(line)
        if match is None:
            continue
        if line.startswith("###"):
            current = found[match[1]] = Entry(match[2], {})
        elif current is not None:
            current.members[match[1]] = match[2]
    return found


ENTRIES = _entries()
CLASSES: dict[str, type] = {
    "Process": procession.Process,
    "Pool": pool.Pool,
    "Executor": futures.Executor,
    **RESULTS,
    **{name: made for name, made in MADE.items() if name not in ERRORS_OF_QUEUES},
    **{name: value for name, value in ELSEWHERE.items() if isinstance(value, type)},
}


def _signature(function: Callable[..., Any]) -> str:
    """``(a, b=None)``, as a caller sees it."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # a method in C: "name(a, b=None): what it does"
        return "".join(re.findall(r"^\w+(\([^)]*\)): ", function.__doc__ or ""))
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))


def _public(owner: object) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_")}


def test_every_public_name_is_there_and_no_other() -> None:
    described = {*ENTRIES}
    public = {*procession.__all__, *pool.__all__, *futures.__all__, *ELSEWHERE}
    public -= ALIASES | LENT | {"RemoteTraceback"}
    assert described == public
    text = PAGE.read_text()
    assert all(f"`{name}`" in text for name in ALIASES | ERRORS_OF_QUEUES)


@pytest.mark.parametrize(
    "name", [name for name, entry in ENTRIES.items() if entry.signature is not None]
)
def test_a_signature_is_the_true_one(name: str) -> None:
    value = ELSEWHERE[name] if name in ELSEWHERE else getattr(procession, name)
    assert ENTRIES[name].signature == _signature(value)


@pytest.mark.parametrize("name", sorted(LENT))
def test_every_name_that_is_lent_is_there(name: str) -> None:
    lent = PAGE.read_text().partition("## Lent by the standard library")[2].partition("\n## ")[0]
    assert f"`{name}`" in lent


@pytest.mark.parametrize("name", sorted({*procession.__all__} - LENT))
def test_functions_have_a_signature(name: str) -> None:
    value = getattr(procession, name)
    is_class = isinstance(value, type) and name not in CLASSES
    assert (ENTRIES[name].signature is None) == is_class


@pytest.mark.parametrize("name", CLASSES)
def test_every_method_is_there_with_its_true_signature(name: str) -> None:
    owner = CLASSES[name]
    true = {}
    left_out = INTERNAL.get(name, set())
    if name == "JoinableQueue":  # the page says that it has the rest
        left_out = _public(queues.Queue)
    for member in _public(owner) - left_out:
        value = inspect.getattr_static(owner, member)
        true[member] = _signature(value) if callable(value) else None
    assert ENTRIES[name].members == true


@pytest.mark.parametrize("name", SAMPLES)
def test_every_attribute_of_an_error_is_there(name: str) -> None:
    error = SAMPLES[name]
    assert {*ENTRIES[name].members} == _public(error) - _public(OSError()) - INTERNAL.get(
        name, set()
    )


def test_every_attribute_of_a_snapshot_is_there() -> None:
    assert {*ENTRIES["MemorySnapshot"].members} == _public(procession.MemorySnapshot)
    text = PAGE.read_text().partition("### `MemorySnapshot`")[2].partition("\n## ")[0]
    for part in (memory.ProcessMemory, memory.KindMemory, memory.LargeBlock):
        assert all(f"`{name}`" in text for name in _public(part))
    assert all(f'"{kind}"' in text for kind in memory.KINDS)


def test_errors_without_attributes_have_none() -> None:
    for name, entry in ENTRIES.items():
        value = getattr(procession, name, None)
        if isinstance(value, type) and issubclass(value, Exception) and name not in SAMPLES:
            assert not entry.members


@pytest.mark.parametrize("name", [name for name in procession.__all__ if "Context" in name])
def test_contexts_have_names_of_this_page_only(name: str) -> None:
    assert _public(getattr(procession, name)) <= {*ENTRIES} | LENT


def test_a_context_has_all_functions() -> None:
    context = procession.get_context("fork")
    functions = {name for name, entry in ENTRIES.items() if entry.signature is not None} - {
        *ELSEWHERE,
        "compare",
        "memory",
        "share",
        "worker_id",
        "worker_state",
    }
    # What only the default context has: there is nothing to choose from in another one. And an
    # executor takes its context as an argument.
    assert functions - _public(context) == {"get_all_start_methods", "Executor"}


def _rows(section: str) -> dict[str, str]:
    """The first two cells of a section's table."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", text, re.MULTILINE))


def test_every_option_of_a_call_is_there_with_its_default() -> None:
    plain = Options()
    defaults = {name: repr(getattr(plain, name)).replace("'", '"') for name in NAMES}
    assert {name: cell.strip("`") for name, cell in _rows("Options").items()} == defaults


def test_every_word_about_workers_is_there() -> None:
    assert _rows("Words about workers").keys() == WorkerWords.__annotations__.keys()


@pytest.mark.parametrize(
    "words",
    [["--help"], ["run", "--help"], ["map", "--help"], ["locks", "--help"], ["memory", "--help"]],
)
def test_every_option_is_there(words: list[str]) -> None:
    command = [sys.executable, "-m", "procession", *words]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    options = {*re.findall(r"(?<![\w-])--?[a-z]+\b", shown.partition("examples:")[0])}
    assert options
    text = PAGE.read_text()
    assert {option for option in options if f"`{option}" not in text} == set()


def test_every_variable_is_there() -> None:
    sources = (ROOT / "src").rglob("*.py")
    named = {
        name for file in sources for name in re.findall(r"PROCESSION_[A-Z_]+", file.read_text())
    }
    text = PAGE.read_text()
    assert {name for name in named if f"`{name}`" not in text} == set()
