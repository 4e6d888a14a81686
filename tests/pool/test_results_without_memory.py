"""A result for which its receiver has no memory is an error of that task, and of nobody else."""

from __future__ import annotations

from tests.plugins.scripts import RunScript

_PROGRAM = """
import resource
import procession

LARGE = 5_000_000  # pickled it is 45 MB, for which Python asks the system

def made(count):
    return [0.5] * count

def vm():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

def limited(spare):
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most if spare is None else vm() + spare, most))

def kind(outcome):
    return type(outcome).__name__ if isinstance(outcome, BaseException) else len(outcome)

def error_of(call, *args):
    try:
        return kind(call(*args))
    except Exception as error:
        return kind(error)

def main():
    pool = procession.get_context("fork").Pool(1)
    lenient = pool.options(errors="return")
    executor = procession.Executor(1)
    told = []
    assert pool.map(made, [1, 2], 1) == [[0.5], [0.5] * 2]
    pool.apply_async(made, (1,), callback=told.append).get()
    executor.submit(made, 1).result()
    limited(24 << 20)
    steps()
    limited(None)
    print(len(pool.apply(made, (LARGE,))), pool._engine.open)
    executor.shutdown()
    pool.close()
    pool.join()
"""


def _run(run_script: RunScript, steps: str) -> list[str]:
    """The lines that are printed by these lines of a program, and by the end of it: there are a
    pool of one worker, and an executor."""
    lines = "\n    ".join(steps.strip().splitlines())
    text = _PROGRAM.replace("steps()", lines) + '\nif __name__ == "__main__":\n    main()\n'
    done = run_script(text, PYTHONFAULTHANDLER="1")
    assert done.returncode == 0, done.stderr
    *printed, last = done.stdout.splitlines()
    assert last == "5000000 {}"
    return printed


def test_who_waits_for_another_result_gets_that(run_script: RunScript) -> None:
    """He takes them all out of the ring."""
    steps = """
large = pool.apply_async(made, (LARGE,))
small = pool.apply_async(made, (3,))
print(error_of(small.get), error_of(large.get), large.successful())
"""
    assert _run(run_script, steps) == ["3 MemoryError False"]


def test_callbacks_are_told(run_script: RunScript) -> None:
    steps = """
large = pool.apply_async(made, (LARGE,), callback=told.append, error_callback=told.append)
print(error_of(pool.apply, made, (3,)), error_of(large.get), *map(kind, told[1:]))
"""
    assert _run(run_script, steps) == ["3 MemoryError MemoryError"]


def test_futures(run_script: RunScript) -> None:
    steps = """
plain, watched = executor.submit(made, LARGE), executor.submit(made, LARGE)
watched.add_done_callback(lambda future: told.append(future.exception()))
small = executor.submit(made, 3)
print(error_of(small.result), kind(plain.exception()), kind(watched.exception()))
"""
    assert _run(run_script, steps) == ["3 MemoryError MemoryError"]


def test_a_map_has_an_error(run_script: RunScript) -> None:
    steps = """
for chunk in (1, 3):
    print(error_of(pool.map, made, [1, LARGE, 2], chunk))
"""
    assert _run(run_script, steps) == ["MemoryError"] * 2


def test_it_is_the_error_of_that_item_of_a_map(run_script: RunScript) -> None:
    """The others of its chunk have their results."""
    steps = """
for chunk in (1, 5):
    print(*map(kind, lenient.map(made, [1, LARGE, 2, LARGE, 3], chunk)))
"""
    assert _run(run_script, steps) == ["1 MemoryError 2 MemoryError 3"] * 2


def test_an_imap_goes_on_behind_it(run_script: RunScript) -> None:
    steps = """
for imap in (pool.imap, pool.imap_unordered):
    results = imap(made, [1, LARGE, 2], 3)
    print(*[error_of(next, results) for _ in range(4)])
"""
    assert _run(run_script, steps) == ["1 MemoryError 2 StopIteration"] * 2
