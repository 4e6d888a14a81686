"""The C extension; everything else stands in pyproject.toml.

PROCESSION_FAILPOINTS=1 compiles the fail points in: for tests only.
"""

from __future__ import annotations

import os
import sysconfig
from glob import glob

from setuptools import Extension, setup

# One wheel for CPython 3.11 and later. Free-threaded builds have no stable ABI yet.
abi3 = not sysconfig.get_config_var("Py_GIL_DISABLED")
failpoints = os.environ.get("PROCESSION_FAILPOINTS") == "1"

binding = Extension(
    "procession._core.binding",
    sources=sorted([*glob("core/*.c"), *glob("src/procession/_core/bind_*.c")]),
    depends=sorted([*glob("core/*.h"), *glob("src/procession/_core/*.h")]),
    include_dirs=["core"],
    define_macros=[
        *([("Py_LIMITED_API", "0x030b0000")] if abi3 else []),
        *([("PCN_FAILPOINTS", "1")] if failpoints else []),
    ],
    py_limited_api=abi3,
    extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden", "-pthread"],
    extra_link_args=["-pthread"],
)

setup(
    ext_modules=[binding],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if abi3 else {},
)
