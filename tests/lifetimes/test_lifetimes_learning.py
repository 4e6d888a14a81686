"""The zygote learns what its children import, if it can be preloaded without harm."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession import context
from procession._launch import forkserver, learning, settings
from tests.lifetimes import victims
from tests.lifetimes.stages import Stage

MP: Any = context.get_context("forkserver")

# Whoever imports one of them says who and which; a zygote tries it in a copy of itself first.
_MODULES = {
    "plain": "",
    "threads": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True)"
    ".start()\n",
    "opens": "held = os.open(os.devnull, os.O_RDONLY)\n",
    "fails": "if os.getpid() != int(os.environ['ONLY']): raise ImportError\n",
    "idle": "known_by_path(Path({stage!r})).tell(f'{os.getpid()} {os.sched_getscheduler(0)}')\n",
    "dies": "if os.getpid() != int(os.environ['ONLY']): os._exit(1)\n",
}


@pytest.fixture
def modules(tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Makes them importable; the stage on which each import is told."""
    for name, text in _MODULES.items():
        (tmp_path / f"learnt_{name}.py").write_text(
            "import os\nfrom pathlib import Path\n"
            "from tests.lifetimes.stages import known_by_path\n"
            f"known_by_path(Path({str(stage.path)!r})).tell(f'{{os.getpid()}} {name}')\n"
            + text.replace("{stage!r}", repr(str(stage.path)))
        )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(settings, "_preload", ["__main__"])
    return stage


def _run(target: Callable[..., object], *args: object) -> tuple[int, int]:
    process = MP.Process(target=target, args=args)
    process.start()
    process.join()
    found = (process.pid, process.exitcode)
    process.close()
    return found


def _news(stage: Stage) -> tuple[int, str]:
    pid, name = stage.news().split()
    return int(pid), name


def _await_in_children(name: str) -> None:
    # The one that the zygote keeps ready may have been forked before; it makes another then.
    while _run(victims.has_learnt, name)[1] != 1:
        pass


@pytest.mark.parametrize("use", ["process", "pool"])
def test_what_a_child_has_imported_is_there_in_later_ones(use: str, modules: Stage) -> None:
    if use == "process":
        child, _ = _run(victims.import_learnt, "plain")
    else:
        with MP.Pool(1) as pool:
            pool.apply(victims.import_learnt, ("plain",))
            child = pool.apply(os.getpid)
        pool.join()
    zygote = forkserver.zygote_pid()
    told = [_news(modules) for _ in range(3)]
    assert told[0] == (child, "plain")
    assert told[1][0] not in (child, zygote)  # the copy that tries
    assert told[2] == (zygote, "plain")
    _await_in_children("plain")
    assert not modules.has_news()  # nobody has imported it again


@pytest.mark.parametrize("name", ["threads", "opens", "fails", "dies"])
def test_what_would_do_harm_is_not_learnt(name: str, modules: Stage) -> None:
    """Nor is it tried again; and what comes after it is learnt nevertheless."""
    child, code = _run(victims.import_learnt, name)
    assert code == 0
    assert _news(modules) == (child, name)
    _, tried = _news(modules)
    assert tried == name
    other, _ = _run(victims.import_learnt, "plain")
    zygote = forkserver.zygote_pid()
    while (news := _news(modules)) != (zygote, "plain"):
        assert news[1] == "plain"
    assert other != zygote
    assert _run(victims.has_learnt, name)[1] == 0
    _await_in_children("plain")
    assert not modules.has_news()


def test_the_copy_leaves_the_cpu_to_others(modules: Stage) -> None:
    own = os.sched_getscheduler(0)
    child, _ = _run(victims.import_learnt, "idle")
    zygote = forkserver.zygote_pid()
    told = [_news(modules) for _ in range(6)]
    assert told[:2] == [(child, "idle"), (child, f"{own}")]
    assert [name for _, name in told[2:4]] == ["idle", f"{os.SCHED_IDLE}"]
    assert told[4:] == [(zygote, "idle"), (zygote, f"{own}")]


@pytest.mark.parametrize(("taken", "rest"), [(0.05, 0.0), (0.1, 0.05 * learning.REST)])
def test_the_zygote_rests_where_it_shares_the_cpu(
    taken: float, rest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as it can be told: what is imported in less than some 10 ms tells nothing."""
    learner = learning.Learner(willing=True, let_go=lambda: None)
    learner.trial, copy = os.pipe()
    os.write(copy, b"os\nre\nsys\n")
    os.close(copy)
    learner.conclude()
    pauses = []
    for worked, passed in [(0.001, 0.015), (0.049, taken - 0.015), (0.001, 0.015)]:
        monkeypatch.setattr(learning, "process_time", iter([7.0, 7.0 + worked]).__next__)
        monkeypatch.setattr(learning, "monotonic", iter([1.0, 1.0 + passed]).__next__)
        pauses.append(learner.pause)
        learner.step()
    assert pauses == [0.0, 0.0, pytest.approx(rest)]
    assert learner.pause is None
    os.close(learner.ear)
    os.close(learner.line)


def test_a_program_that_says_what_to_preload_is_taken_at_its_word(
    modules: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "_preload", ["learnt_opens"])
    child, _ = _run(victims.import_learnt, "plain")
    told = {_news(modules) for _ in range(2)}
    assert told == {(forkserver.zygote_pid(), "opens"), (child, "plain")}
    assert _run(victims.has_learnt, "opens")[1] == 1
    assert _run(victims.has_learnt, "plain")[1] == 0
