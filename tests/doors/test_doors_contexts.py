"""Contexts: one for each start method, and what they are told about interpreters."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import procession
from procession import context
from procession._launch import settings
from tests.plugins.scripts import RunScript

METHODS = {
    "fork": (context.ForkContext, context.ForkProcess),
    "spawn": (context.SpawnContext, context.SpawnProcess),
    "forkserver": (context.ForkServerContext, context.ForkServerProcess),
}


@pytest.mark.parametrize("method", METHODS)
def test_each_start_method_has_a_context_with_a_process_of_its_own(method: str) -> None:
    kind, process_kind = METHODS[method]
    found = procession.get_context(method)
    assert type(found) is kind
    assert found is procession.get_context(method) is found.get_context()
    assert found.get_context("fork") is procession.get_context("fork")
    assert found.get_start_method() == method
    process = found.Process()
    assert type(process) is process_kind
    assert process.name.startswith(f"{process_kind.__name__}-")
    with pytest.raises(ValueError, match="cannot set start method of concrete context"):
        found.set_start_method("fork")


@pytest.mark.parametrize("name", ["nothing", "", "Fork"])
def test_other_start_methods_do_not_exist(name: str) -> None:
    with pytest.raises(ValueError, match=f"cannot find context for {name!r}"):
        procession.get_context(name)
    with pytest.raises(ValueError, match=f"cannot find context for {name!r}"):
        procession.set_start_method(name, force=True)


def test_the_start_method_is_chosen_once(run_script: RunScript) -> None:
    done = run_script(
        "import procession as mp\n"
        "print(mp.get_start_method(allow_none=True), sorted(mp.get_all_start_methods()))\n"
        "mp.set_start_method('spawn')\n"
        "print(mp.get_start_method(), type(mp.get_context()).__name__)\n"
        "try:\n"
        "    mp.set_start_method('fork')\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
        "mp.set_start_method('forkserver', force=True)\n"
        "print(mp.get_start_method())\n"
        "mp.set_start_method(None, force=True)\n"
        "print(mp.get_start_method(allow_none=True))\n"
        "print(mp.get_start_method() == mp.get_all_start_methods()[0])\n"
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "None ['fork', 'forkserver', 'spawn']",
        "spawn SpawnContext",
        "context has already been set",
        "forkserver",
        "None",
        "True",
    ]


@pytest.fixture
def _as_before() -> Any:
    executable, preload = settings.executable(), settings.preload()
    yield
    procession.set_executable(executable)
    procession.set_forkserver_preload(preload)


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("path", ["/bin/python", b"/bin/python", Path("/bin/python")])
def test_the_executable_is_kept_for_us_and_for_what_is_borrowed(path: Any) -> None:
    from multiprocessing import spawn

    assert settings.executable() == sys.executable
    procession.get_context("spawn").set_executable(path)
    assert settings.executable() == "/bin/python"
    assert os.fsdecode(spawn.get_executable()) == "/bin/python"


@pytest.mark.parametrize("path", [None, 3])
def test_an_executable_is_a_path(path: Any) -> None:
    with pytest.raises(TypeError, match="PathLike"):
        procession.set_executable(path)
    assert settings.executable() == sys.executable


@pytest.mark.usefixtures("_as_before")
def test_the_preload_list_is_kept() -> None:
    assert settings.preload() == ["__main__"]
    names = ["json", "os"]
    procession.get_context("forkserver").set_forkserver_preload(names)
    names.append("more")
    assert settings.preload() == ["json", "os"]


@pytest.mark.parametrize("names", [None, "json", ["json", 3], {"json"}, [b"json"]])
def test_a_preload_list_is_a_list_of_strings(names: Any) -> None:
    with pytest.raises(TypeError, match="module_names must be a list of strings"):
        procession.set_forkserver_preload(names)
    assert settings.preload() == ["__main__"]


def test_the_reducer_is_the_standard_librarys_and_can_be_replaced() -> None:
    import multiprocessing.reduction

    found = procession.get_context("spawn")
    before = found.reducer
    assert before is multiprocessing.reduction
    try:
        found.reducer = "other"
        assert procession.get_context("fork").reducer == "other"
    finally:
        found.reducer = before
