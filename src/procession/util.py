"""Logging, finalizers and after-fork hooks: the standard library's own.

So there is one logger for both. What is registered here runs in our children, too. Loaded at the
first use.
"""

from __future__ import annotations

from typing import Any

from procession._launch import stdlib

__all__ = [
    "SUBDEBUG",
    "SUBWARNING",
    "Finalize",
    "ForkAwareLocal",
    "ForkAwareThreadLock",
    "close_all_fds_except",
    "debug",
    "get_logger",
    "get_temp_dir",
    "info",
    "is_exiting",
    "log_to_stderr",
    "register_after_fork",
    "sub_debug",
    "sub_warning",
]

Finalize: Any
ForkAwareLocal: Any
ForkAwareThreadLock: Any
SUBDEBUG: Any
SUBWARNING: Any
close_all_fds_except: Any
debug: Any
get_logger: Any
get_temp_dir: Any
info: Any
is_exiting: Any
log_to_stderr: Any
register_after_fork: Any
sub_debug: Any
sub_warning: Any


def __getattr__(name: str) -> Any:
    return stdlib.borrowed(__name__, "util", name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
