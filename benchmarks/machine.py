"""Where and with what the figures were measured."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parents[1]


def describe() -> dict[str, str]:
    """What a reader needs to know about the machine; neither its name nor its paths."""
    usable = len(os.sched_getaffinity(0))
    return {
        "commit": commit(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "C library": " ".join(platform.libc_ver()),
        "cpu": f"{cpu_model()} ({platform.machine()})",
        "cores": f"{usable} usable of {os.cpu_count()}",
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def commit() -> str:
    """The commit that was measured, and whether the tree differs from it."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()
