"""A forked child of a test, that runs one function."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable


def forked(function: Callable[[], object]) -> int:
    """Run a function in a child; its exit code: 0 if it returned, 1 if it raised.

    Negative is the signal that ended it.
    """
    pid = os.fork()
    if not pid:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
