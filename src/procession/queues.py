"""Queues between processes, with the standard library's names: see ``Queue``."""

from __future__ import annotations

from procession._codec.buffers import dumps_answer, loads_apart
from procession._queues.queues import Empty, Full, JoinableQueue, Queue, SimpleQueue

__all__ = ["Empty", "Full", "JoinableQueue", "Queue", "SimpleQueue"]

Queue._pickle_with(dumps_answer)
Queue._unpickle_apart_with(loads_apart)
