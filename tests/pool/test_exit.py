"""The interpreter ends while a pool is there: it ends at once, and nothing stays behind.

That the script's run returns shows that no process is left that holds its output pipes.
"""

from __future__ import annotations

import pytest

from tests.plugins.scripts import RunScript

_HEAD = """
import os, sys, threading, time, gc, warnings
from procession.pool import Pool

read, write = os.pipe()
def stay(*_):
    os.write(write, b"x")
    while True:
        time.sleep(100)
def started(count=2):
    while count:
        count -= len(os.read(read, 1))
def square(x):
    return x * x
"""


def _run(run_script: RunScript, text: str, code: int = 0) -> tuple[str, str]:
    result = run_script(_HEAD + text)
    assert result.returncode == code, result.stderr
    return result.stdout, result.stderr


def test_exit_with_an_open_pool(run_script: RunScript) -> None:
    assert _run(run_script, "pool = Pool(2)\nprint(pool.map(square, range(4)))") == (
        "[0, 1, 4, 9]\n",
        "",
    )


def test_exit_with_tasks_running(run_script: RunScript) -> None:
    text = """
pool = Pool(2)
results = [pool.apply_async(stay) for _ in range(2)]
results += [pool.apply_async(square, (x,)) for x in range(100)]
mapped = pool.map_async(square, range(1000))
stream = pool.imap(square, range(1000))
started()
print("end")
"""
    assert _run(run_script, text) == ("end\n", "")


def test_exit_with_callbacks_due(run_script: RunScript) -> None:
    text = """
pool = Pool(2)
started_callback = threading.Event()
def callback(value):
    started_callback.set()
    threading.Event().wait()
results = [pool.apply_async(square, (x,), callback=callback) for x in range(10)]
started_callback.wait()
print("end")
"""
    assert _run(run_script, text) == ("end\n", "")


def test_exit_with_a_closed_pool_that_nobody_joined(run_script: RunScript) -> None:
    text = """
pool = Pool(2)
result = pool.map_async(square, range(1000))
pool.close()
print("end")
"""
    assert _run(run_script, text) == ("end\n", "")


def test_exit_while_threads_wait(run_script: RunScript) -> None:
    text = """
pool = Pool(2)
def wait():
    try:
        pool.apply(stay)
    except Exception as error:
        os.write(1, type(error).__name__.encode() + bytes([10]))
threads = [threading.Thread(target=wait, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
started()
import atexit
atexit.register(lambda: [thread.join() for thread in threads])
from procession._launch.exits import run
atexit.register(run)
print("end", flush=True)
"""
    assert _run(run_script, text) == ("end\nPoolTerminated\nPoolTerminated\n", "")


@pytest.mark.parametrize(("statement", "code"), [("sys.exit(5)", 5), ("sys.exit()", 0)])
def test_sys_exit_inside_with(run_script: RunScript, statement: str, code: int) -> None:
    text = f"""
with Pool(2) as pool:
    pool.apply_async(stay)
    started(1)
    {statement}
"""
    assert _run(run_script, text, code) == ("", "")


def test_unhandled_exception_inside_with(run_script: RunScript) -> None:
    text = """
with Pool(2) as pool:
    pool.apply_async(stay)
    started(1)
    raise KeyError("mine")
"""
    output, errors = _run(run_script, text, 1)
    assert output == ""
    assert errors.startswith("Traceback (most recent call last):\n")
    assert errors.endswith("KeyError: 'mine'\n")
    assert errors.count("Traceback") == 1


def test_unhandled_exception_of_a_task(run_script: RunScript) -> None:
    text = """
pool = Pool(2)
pool.apply_async(stay)
pool.map(square, [1, "2"])
"""
    _, errors = _run(run_script, text, 1)
    assert errors.rstrip().splitlines()[-1].startswith("TypeError: can't multiply sequence")
    assert errors.count("in square") == 1  # the remote traceback, as the cause


def test_os_exit_takes_the_workers_along(run_script: RunScript) -> None:
    text = """
pool = Pool(2)
for _ in range(2):
    pool.apply_async(stay)
started()
os._exit(6)
"""
    assert _run(run_script, text, 6) == ("", "")


def test_exit_of_a_child_with_a_pool_of_its_own(run_script: RunScript) -> None:
    text = """
from procession.process import Process
def child():
    pool = Pool(2)
    print(pool.map(square, range(3)), flush=True)
    pool.apply_async(stay)
    started(1)
process = Process(target=child)
process.start()
process.join()
print(process.exitcode)
"""
    assert _run(run_script, text) == ("[0, 1, 4]\n0\n", "")


def test_exit_with_a_broken_pool(run_script: RunScript) -> None:
    text = """
pool = Pool(2, initializer=os._exit, initargs=(3,))
try:
    pool.apply(square, (1,))
except Exception as error:
    print(type(error).__name__)
"""
    assert _run(run_script, text) == ("InitializerFailed\n", "")


def test_a_forgotten_pool_is_reported_and_collected(run_script: RunScript) -> None:
    text = """
warnings.simplefilter("always")
def forget():
    pool = Pool(2)
    return pool.map(square, range(3)), [t for t in threading.enumerate() if t.daemon]
values, threads = forget()
gc.collect()
for thread in threads:
    thread.join()
print(values, len(threads), os.path.exists(f"/proc/self/task/{os.getpid()}/children"))
print(repr(open(f"/proc/self/task/{os.getpid()}/children").read()))
"""
    output, errors = _run(run_script, text)
    assert output == "[0, 1, 4] 1 True\n''\n"
    assert "ResourceWarning: unclosed running multiprocessing pool <procession.pool.Pool" in errors
    assert "Traceback" not in errors


def test_a_forgotten_pool_is_collected_where_warnings_are_errors(run_script: RunScript) -> None:
    text = """
warnings.simplefilter("error")
def forget():
    Pool(2)
    return [t for t in threading.enumerate() if t.daemon]
threads = forget()
gc.collect()
for thread in threads:
    thread.join()
print(repr(open(f"/proc/self/task/{os.getpid()}/children").read()))
"""
    output, errors = _run(run_script, text)
    assert output == "''\n"
    assert "ResourceWarning: unclosed running multiprocessing pool" in errors


def test_a_forgotten_pool_with_results_that_are_kept(run_script: RunScript) -> None:
    text = """
def forget():
    pool = Pool(2)
    return [pool.apply_async(square, (x,)) for x in range(10)], pool.map_async(square, range(10))
results, mapped = forget()
gc.collect()
print([result.get() for result in results] == mapped.get())
print(list(Pool(2).imap(square, range(5))))
"""
    output, errors = _run(run_script, text)
    assert output == "True\n[0, 1, 4, 9, 16]\n"
    assert "Traceback" not in errors


def test_atexit_functions_may_still_use_the_pool(run_script: RunScript) -> None:
    text = """
import atexit
pool = Pool(2)
atexit.register(lambda: print(pool.map(square, range(5)), pool.apply(square, (7,))))
"""
    # The pool's own exit function was registered before: so it runs behind this one.
    assert _run(run_script, text) == ("[0, 1, 4, 9, 16] 49\n", "")


def test_a_pool_that_a_worker_inherited_is_refused_there(run_script: RunScript) -> None:
    text = """
def use(call):
    try:
        return call()
    except ValueError as error:
        return str(error)[:36]
def uses():
    calls = [
        lambda: pool.apply(square, (1,)), lambda: pool.map(square, [1]),
        lambda: next(pool.imap(square, [1])), lambda: pool.apply_async(square, (1,)).get(),
        result.get, stream.next, pool.close, pool.join,
    ]
    found = {use(call) for call in calls}
    pool.terminate()  # what a with-statement does at its end: nothing here
    return found
def square(x):
    return x * x
pool = Pool(1)
result = pool.apply_async(stay)
started(1)
stream = pool.imap(square, range(10))
other = Pool(1)
print(other.apply(uses))
from procession.process import Process
child = Process(target=lambda: print(uses()))
child.start()
child.join()
print(child.exitcode, flush=True)
warnings.simplefilter("ignore")  # of newer Pythons: this process has threads
pid = os.fork()
if pid == 0:
    print(uses(), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""
    output, errors = _run(run_script, text)
    refused = "{'this pool belongs to another process'}\n"
    assert output == refused + refused + "0\n" + refused
    assert errors == ""


def test_nested_pools(run_script: RunScript) -> None:
    text = """
def inner(x):
    with Pool(2) as pool:
        return sum(pool.map(square, range(x)))
with Pool(2) as pool:
    print(pool.map(inner, range(6)))
"""
    assert _run(run_script, text) == ("[0, 0, 1, 5, 14, 30]\n", "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_nothing_is_started_by_a_finalizer_when_the_interpreter_ends(
    method: str, run_script: RunScript
) -> None:
    text = f"""
import procession
context = procession.get_context({method!r})
class Late:
    def __init__(self, executor, process):
        self.executor, self.process = executor, process
    def __del__(self):
        for start in (lambda: self.executor.submit(abs, -1), self.process.start):
            try:
                start()
            except RuntimeError as error:
                print(error)
late = Late(procession.Executor(2, mp_context=context), context.Process(target=print))
"""
    said = (
        "cannot schedule new futures after interpreter shutdown\n"
        "no process can be started after interpreter shutdown\n"
    )
    assert _run(run_script, text) == (said, "")


def test_an_iterator_does_not_wait_for_what_a_stopped_thread_has(run_script: RunScript) -> None:
    """The last traceback keeps it until the interpreter is finalised."""
    text = """
import itertools
def hold(lock, held):
    with lock:
        held.set()
        time.sleep(1000)  # a daemon: stopped, not ended
def main():
    pool = Pool(1)
    iterator = pool.imap_unordered(abs, itertools.count())
    assert next(iterator) == 0
    pool.terminate()
    pool.join()
    held = threading.Event()
    threading.Thread(target=hold, args=(pool._engine.lock, held), daemon=True).start()
    held.wait()
    raise LookupError("with all that")
main()
"""
    output, complaints = _run(run_script, text, 1)
    assert output == ""
    assert complaints.endswith("LookupError: with all that\n")
