"""A Ray of our own on loopback: a head and further nodes, each a `ray start --block`.

All of 127/8 is this machine: each node has an address of its own there. The nodes end with the
fixture, by their process ids; whatever else of Ray runs on the machine is left alone.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.plugins.procfs import Process, Tree, pidfd, read

PATIENCE = 120
"""Seconds after which a node counts as hung."""

STORE = 200 << 20
"""Bytes of a node's object store."""

SETTINGS = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
"""No token in the home folder, nothing told to anybody."""

LOCAL = {"_node_ip_address": "127.0.0.1", "object_store_memory": STORE}
"""`start=` for a Ray that a pool starts."""

_MARK = "PROCESSION_TEST_RAY"


def free_port(host: str) -> int:
    """One that nobody listens at."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class Cluster:
    """Nodes of one Ray."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.head = "127.0.0.2"
        self.address = f"{self.head}:{free_port(self.head)}"
        self.mark = f"{_MARK}={folder}"
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def start_head(self, cpus: int) -> None:
        """Start the first node."""
        port = self.address.partition(":")[2]
        self._start(
            self.head,
            cpus,
            *("--head", f"--port={port}", "--include-dashboard=false"),
            *("--disable-usage-stats", f"--temp-dir={self.folder}"),
        )

    def start_node(self, host: str, cpus: int) -> None:
        """Start one more."""
        self._start(host, cpus, f"--address={self.address}")

    def _start(self, host: str, cpus: int, *more: str) -> None:
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
            *(f"--node-ip-address={host}", f"--num-cpus={cpus}", f"--object-store-memory={STORE}"),
            *more,
        ]
        environment = {**os.environ, **SETTINGS, _MARK: str(self.folder)}
        node = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._nodes[host] = node
        assert node.stdout is not None
        said = b""
        while b"Ray runtime started" not in said:
            ready, _, _ = select.select([node.stdout], [], [], PATIENCE)
            more_said = os.read(node.stdout.fileno(), 65536) if ready else b""
            assert more_said, f"the node {host} did not start: {said.decode(errors='replace')}"
            said += more_said

    def kill_node(self, host: str) -> None:
        """What a power cut does: all processes of the node, at once."""
        node = self._nodes.pop(host)
        kill([*_family(node.pid)])
        node.wait()
        assert node.stdout is not None
        node.stdout.close()

    def stop(self) -> None:
        """End all nodes, and everything that they started."""
        for host in [*self._nodes]:
            self.kill_node(host)
        while left := [process for process in _all() if self.mark in _environment(process.pid)]:
            kill(left)
        shutil.rmtree(self.folder)


def _family(pid: int) -> Iterator[Process]:
    tree = Tree.now()
    yield from (each for group in tree.children.values() for each in group if each.pid == pid)
    yield from tree.below(pid)


def _all() -> Iterator[Process]:
    for group in Tree.now().children.values():
        yield from group


def _environment(pid: int) -> list[str]:
    return read(pid, "environ").decode(errors="replace").split("\0")


def kill(processes: list[Process]) -> None:
    """SIGKILL for all, and wait until they are gone."""
    found = [fd for process in processes if (fd := pidfd(process)) is not None]
    for fd in found:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    for fd in found:
        assert select.select([fd], [], [], PATIENCE)[0]
        os.close(fd)


def gone(pid: int) -> None:
    """Wait until a process has ended."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        assert select.select([fd], [], [], PATIENCE)[0]
        os.close(fd)


@contextlib.contextmanager
def cluster(*hosts: str, cpus: int = 2) -> Iterator[Cluster]:
    """A head with so many CPUs, and nodes with one each."""
    nodes = Cluster(Path(tempfile.mkdtemp(prefix="ray-")))  # short: it is part of sockets' names
    try:
        nodes.start_head(cpus)
        for host in hosts:
            nodes.start_node(host, 1)
        yield nodes
    finally:
        nodes.stop()


_shared: list[Cluster] = []


def connect_to_shared() -> None:
    """Connect this process to a head and a node of one CPU each, which are started once for it."""
    ray = import_module("ray")
    if not _shared:
        nodes = Cluster(Path(tempfile.mkdtemp(prefix="ray-")))
        _shared.append(nodes)
        atexit.register(end_shared)
        nodes.start_head(1)
        nodes.start_node("127.0.0.3", 1)
    if not ray.is_initialized():
        with pytest.MonkeyPatch.context() as patch:
            for name, value in SETTINGS.items():
                patch.setenv(name, value)
            ray.init(_shared[0].address, log_to_driver=False, logging_level="ERROR")


def end_shared() -> None:
    """End what connect_to_shared() began."""
    while _shared:
        import_module("ray").shutdown()
        _shared.pop().stop()
        atexit.unregister(end_shared)
