"""Log records of a worker, on their way to the parent's loggers.

The parent has the handlers: those that a fork has copied are taken away, or each record would be
handled twice. Levels stay as they are, but for the root logger's: what is below the level asked for
is dropped here, and nothing else has to travel.
"""

from __future__ import annotations

import logging
from typing import Any

from procession._codec import messages
from procession._codec.objects import dumps
from procession._core import Channel
from procession._worker.state import here

_FORMATTER = logging.Formatter()


class _Shipping(logging.Handler):
    """Sends each record to the parent."""

    def __init__(self, channel: Channel, level: int) -> None:
        super().__init__(level)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send it; what can not be sent is reported as handlers do."""
        if here.seat is None:  # a child that the worker forked: the channel is not its own
            if logging.lastResort is not None:
                logging.lastResort.handle(record)
            return
        try:
            self._channel.answer(0, messages.LOG_RECORD, encode_record(record))
        except Exception:
            self.handleError(record)


def encode_record(record: logging.LogRecord) -> bytes:
    """A record as bytes: its attributes, and besides the ``worker`` and its ``task``.

    The message is put together here, and so is the text of its exception: arguments and
    exceptions may be of any kind. Attributes of the user's that can not be pickled go as their
    ``repr()``.
    """
    content: dict[str, Any] = {**vars(record), "worker": here.seat, "task": here.task()}
    content["msg"] = content["message"] = record.getMessage()
    content["args"] = None
    if record.exc_info and not record.exc_text:
        content["exc_text"] = _FORMATTER.formatException(record.exc_info)
    content["exc_info"] = None
    try:
        return dumps(content)
    except Exception:
        return dumps({name: _sendable(value) for name, value in content.items()})


def _sendable(value: Any) -> Any:
    try:
        dumps(value)
    except Exception:
        return repr(value)
    return value


def ship(channel: Channel, level: int) -> None:
    """From now on, send all records of this process from `level` on to the parent."""
    handler = _Shipping(channel, level)
    root = logging.getLogger()
    for logger in [*logging.Logger.manager.loggerDict.values(), root]:
        if isinstance(logger, logging.Logger):
            logger.handlers = [] if logger.propagate and logger is not root else [handler]
    root.setLevel(level)
