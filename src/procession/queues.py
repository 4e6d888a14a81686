"""Queues between processes, with the standard library's names: see ``Queue``."""

from __future__ import annotations

from procession._queues.queues import Empty, Full, JoinableQueue, Queue, SimpleQueue
from procession._transport.pickling import dumps

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]

Queue._pickle_with(dumps)
