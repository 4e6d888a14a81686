"""The example for Dask: the same on this machine and on a cluster; and the benchmark runs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.plugins.clusters import DaskCluster

pytestmark = [pytest.mark.scale, pytest.mark.watchdog(180)]

EXPECTED = """\
map: 60585
imap: [1, 2, 2, 2, 3]
shared: [0.25, 0.25, 0.25, 0.25]
died: on a node we know
retried: done, the second time
given up: it runs on, and keeps its place until it ends
"""


def output_of(*arguments: str, **environment: str) -> str:
    """Run a program of this tree; what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_example_on_this_machine() -> None:
    assert output_of("examples/on_dask.py") == EXPECTED


def test_the_example_on_a_cluster(dask_cluster: DaskCluster) -> None:
    address = dask_cluster.address
    assert output_of("examples/on_dask.py", DASK_SCHEDULER_ADDRESS=address) == EXPECTED


def test_the_benchmark_runs() -> None:
    few = ("--items", "2000", "--theirs", "1000", "--rounds", "1")
    printed = output_of("-m", "benchmarks.engines.dask_map", *few)
    assert "times as fast" in printed
