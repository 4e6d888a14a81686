"""The connection to Dask: somebody's client, or one of ours, with or without a cluster of ours."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

PATIENCE = 10.0
"""Seconds for what we started to end."""

HERE = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
"""For a cluster that is started here. Nothing but this machine is to reach it, at whichever ports
are free; and who died is said by our errors, not by its log."""


class Connection:
    """A client, and what of it we started."""

    def __init__(self, client: Any, *, is_ours: bool, cluster: Any = None) -> None:
        self.client = client
        self._is_ours = is_ours
        self._cluster = cluster

    def first_look(self, attend: Callable[..., int], *arguments: Any) -> int:
        """Have the scheduler attend to us.

        Raises:
            RuntimeError: it can not, and why.
        """
        try:
            places: int = self.client.run_on_scheduler(attend, *arguments)
        except ImportError as error:
            raise RuntimeError(
                "procession can not be imported by Dask's scheduler: install the same version "
                f"there, and on the workers ({error})"
            ) from error
        except ValueError as error:  # distributed.scheduler.pickle is False
            raise RuntimeError(
                "Dask's scheduler does not run functions of its clients, which is needed here: "
                f"set distributed.scheduler.pickle to True for it ({error})"
            ) from error
        return places

    def run(self, what: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run it in the client's loop, if that still runs, and wait for it."""
        if self.client.status in ("running", "connecting"):
            with contextlib.suppress(Exception):
                self.client.sync(what, callback_timeout=PATIENCE)

    def close(self) -> None:
        """End what is ours."""
        if self._is_ours:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self.client.close(timeout=PATIENCE)
        if self._cluster is not None:
            with contextlib.suppress(Exception):
                self._cluster.close(timeout=PATIENCE)


def connect(
    client: Any, address: str | None, security: Any, timeout: float | None, here: dict[str, Any]
) -> Connection:
    """What there is to connect to; see `DaskBackend`.

    Args:
        client: somebody's client, or None.
        address: of a scheduler, or None.
        security: for a client of ours.
        timeout: likewise; None: as Dask is configured.
        here: keywords for a cluster of ours.
    """
    distributed = _installed()
    if client is None and address is None:
        client = _client_of_task(distributed)
    if client is None and address is None:
        with contextlib.suppress(ValueError):  # there is none
            client = distributed.default_client()
        address = import_module("dask").config.get("scheduler-address", None)
    if client is not None:
        if client.status != "running" or client.asynchronous:
            raise ValueError(
                f"this client can not be used ({client!r}): it must be running, and "
                "not be made with asynchronous=True"
            )
        return Connection(client, is_ours=False)
    options = {
        "set_as_default": False,
        **({} if security is None else {"security": security}),
        **({} if timeout is None else {"timeout": timeout}),
    }
    if address is not None:
        try:
            return Connection(distributed.Client(address, **options), is_ours=True)
        except (OSError, TimeoutError) as error:
            raise ConnectionError(
                f"there is no scheduler of Dask's at {address}: start one with `dask scheduler`, "
                f"or give another address ({error})"
            ) from error
    cluster = distributed.LocalCluster(**HERE, **here)
    return Connection(distributed.Client(cluster, **options), is_ours=True, cluster=cluster)


class _Left(threading.local):
    """The task for which this thread gave its place to others."""

    task: str | None = None


_left = _Left()


def _client_of_task(distributed: Any) -> Any:
    """Within a task of Dask's: its worker's client; else None.

    The task's place is given to others until its end, or those that it waits for might never run.
    """
    try:
        task = distributed.get_worker().get_current_task()
    except (ValueError, AttributeError):
        return None
    client = distributed.get_client()
    if _left.task != task and not client.asynchronous:
        distributed.secede()
        _left.task = task
    return client


def _installed() -> Any:
    try:
        return import_module("distributed")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Dask is not installed: pip install procession[dask]", name=error.name
        ) from error
