"""Serial, threads or processes? Measured on a sample of the items, with what takes the time.

``comparing``  does it all: ``compare``
``sampling``   one call after the other, until the time is up; what pickling the items costs
``running``    the same items through threads and through processes
``laps``       a few items in a row, with the clocks beside them; run in all three ways
``verdict``    what to use (pure)
``report``     what came out: numbers, a table, sentences

What the machine does for other programs meanwhile is counted out: Linux tells for each thread how
long it was ready to run and had no CPU.
"""

from __future__ import annotations

from procession._compare.comparing import compare as compare
from procession._compare.report import Comparison as Comparison

__all__ = ["Comparison", "compare"]
