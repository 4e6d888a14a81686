"""Queues: the standard library's own."""

from __future__ import annotations

import sys

from procession._launch import stdlib

sys.modules[__name__] = stdlib.borrow("queues")
