"""Log records that workers sent, handed to this process's loggers."""

from __future__ import annotations

import logging
import traceback

from procession._codec.objects import loads
from procession._launch import streams


def handle_record(payload: bytes | memoryview | BaseException) -> None:
    """Have a worker's record handled by the logger of its name, as if it was logged here.

    The worker has looked at the level already; the handlers' own levels and all filters count.
    Runs code of the user's (filters, handlers, unpickling): not to be called with the engine's
    lock held. What that raises is printed, as ``logging`` does it; and so is what stands for a
    record that there was no memory for.

    Raises:
        KeyboardInterrupt, SystemExit: of the user's; nothing else.
    """
    try:
        if isinstance(payload, BaseException):
            raise payload
        record = logging.makeLogRecord(loads(payload))
        logging.getLogger(record.name).handle(record)
    except Exception:
        if logging.raiseExceptions:
            streams.report(f"A worker's log record was lost:\n{traceback.format_exc()}")
