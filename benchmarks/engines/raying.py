"""A Ray of this machine alone, for as long as a cell lasts."""

from __future__ import annotations

import os

import ray

SETTINGS = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


def begin(workers: int) -> None:
    """Start it, with as many CPUs as the rival may have workers."""
    if not ray.is_initialized():
        os.environ.update(SETTINGS)
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=200 << 20,
            _node_ip_address="127.0.0.1",
        )
