"""Start method *spawn*: a fresh interpreter, which gets a parcel."""

from __future__ import annotations

import signal

from procession._launch import child, description, door, interpreter, methods, parcel, streams
from procession._launch.handle import Handle

_ALL_SIGNALS = signal.valid_signals()


class SpawnedChild(Handle):
    """A child in an interpreter of its own, running from the moment this object exists.

    Raises:
        OSError: there are not enough descriptors or processes, or no such executable.
        Exception: the process object can not be pickled. Nothing has run then.
    """

    def __init__(self, startable: methods.Startable) -> None:
        super().__init__(inherit_sentinel=startable._shares_sentinel, ended=startable._ended)
        streams.flush_output()
        mask = child.set_signal_mask(signal.SIG_BLOCK, ())
        with (
            door.lent() as way,
            parcel.pack(
                lambda: description.describe(startable.name, mask=mask, zygote=way), startable
            ) as packed,
        ):
            try:
                child.set_signal_mask(signal.SIG_BLOCK, _ALL_SIGNALS)
                numbers = f"{packed.content}, {list(packed.descriptors)}"
                self._sent = packed.on_its_way
                pid = interpreter.execute(
                    f"from procession._launch import arrival; arrival.live({numbers})",
                    keep=(packed.content, *packed.descriptors),
                    environment=startable._environment(),
                    title=startable.name,
                )
                self._begin(pid, startable._adopt)
            finally:
                child.set_signal_mask(signal.SIG_SETMASK, mask)


methods.register("spawn", SpawnedChild)
