"""What a forked child makes of the standard streams that it finds."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def test_what_another_thread_prints_while_we_fork_is_written_once() -> None:
    # The flush before the fork is left out, as if the other thread printed right behind it.
    program = """
        import os, threading
        from procession._launch import streams
        from procession.pool import Pool

        print("the parent's own line, once")
        gate = threading.Lock()
        gate.acquire()
        thread = threading.Thread(target=gate.acquire)
        thread.start()
        flush, parent = streams.flush_output, os.getpid()
        streams.flush_output = lambda: os.getpid() == parent or flush()
        pool = Pool(2)
        pool.map(abs, range(4))
        streams.flush_output = flush
        pool.close()
        pool.join()
        gate.release()
        thread.join()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the parent's own line, once\n"
