"""Whole programs that use Ray: how they begin, fork, and end. Nothing is left of any of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugins.scripts import script_environment
from tests.scale import rays

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.scale, pytest.mark.watchdog(240)]

HEAD = f"""
import os, signal, sys, threading
import procession
START = {rays.LOCAL!r} | {{"num_cpus": 2, "log_to_driver": False}}
OPTIONS = {{"address": "local", "start": START}}

def square(value):
    return value * value

def forever():
    signal.pause()
"""


def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end; that this returns shows that nobody is left that has its output."""
    environment = script_environment(**rays.SETTINGS, **more)
    return subprocess.run(
        [sys.executable, *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=rays.PATIENCE,
        check=False,
    )


def run_text(folder: Path, text: str) -> list[str]:
    """The lines that a program prints, which ends well."""
    program = folder / "program.py"
    program.write_text(HEAD + text)
    ended = run(str(program))
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_a_ray_that_a_pool_started_ends_with_it(tmp_path: Path) -> None:
    text = """
if __name__ == "__main__":
    with procession.Pool(2, backend="ray", backend_options=OPTIONS) as pool:
        print(pool.map(square, range(4)))
    pool.join()
    import ray
    print(ray.is_initialized())
    with procession.Pool(2, backend="ray", backend_options=OPTIONS) as pool:
        print(pool.apply(square, (5,)))
"""
    assert run_text(tmp_path, text) == ["[0, 1, 4, 9]", "False", "25"]


def test_a_program_ends_that_forgets_its_pool(tmp_path: Path) -> None:
    text = """
if __name__ == "__main__":
    pool = procession.Pool(2, backend="ray", backend_options=OPTIONS)
    print(pool.apply(square, (5,)))
    late = [pool.apply_async(forever) for _ in range(4)]
"""
    assert run_text(tmp_path, text) == ["25"]


def test_a_forked_copy_of_the_driver_leaves_ray_alone(tmp_path: Path) -> None:
    text = """
if __name__ == "__main__":
    pool = procession.Pool(2, backend="ray", backend_options=OPTIONS)
    print(pool.apply(square, (5,)), flush=True)
    child = os.fork()
    if not child:
        try:
            pool.apply(square, (6,))
        except Exception as error:
            print(type(error).__name__, "belongs to another process" in str(error), flush=True)
        pool.terminate()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(pool.apply(square, (7,)))
    pool.close()
    pool.join()
"""
    assert run_text(tmp_path, text) == ["25", "ValueError True", "0", "49"]


@pytest.fixture(scope="module")
def nodes() -> Iterator[rays.Cluster]:
    rays.end_shared()
    with rays.cluster("127.0.0.3") as found:
        yield found


SAID = [
    "the darkest of 400 pictures is number 350: 0.4945",
    "the first powers of two: [1, 2, 4, 8, 16, 32, 64, 128]",
    "a task that did not end was stopped",
    "workers died now and then, and nothing was lost",
]


def said_by_the_example(**environment: str) -> list[str]:
    """Its own lines: Ray tells of the deaths, too."""
    ended = run(str(ROOT / "examples/on_ray.py"), **environment)
    assert ended.returncode == 0, ended.stderr
    return [line for line in ended.stdout.splitlines() if "(raylet)" not in line]


def test_the_example_on_one_machine() -> None:
    assert said_by_the_example(RAY_ADDRESS="local") == SAID


@pytest.mark.may_leak(reason="idle workers of nodes that outlive this test")
def test_the_example_on_two_nodes(nodes: rays.Cluster) -> None:
    assert said_by_the_example(RAY_ADDRESS=nodes.address) == SAID
