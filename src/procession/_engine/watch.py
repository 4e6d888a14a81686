"""Who watches the clock for the tasks: what is late is asked to stop, or killed.

It knows which time-outs are in use, so it knows how long it may look away: a task that has not
begun yet can not be late before the shortest of them is over.
"""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

from procession._engine.deadlines import Asked, Late, Means, Row, first_possible, look
from procession._engine.policy import Fate
from procession._engine.staffing import Event, Life
from procession._launch.slaying import slay

if TYPE_CHECKING:
    from procession._engine.crew import Crew
    from procession._engine.engine import Engine

STOP_SIGNAL = signal.SIGURG
"""Has a worker look whether its task is asked to stop. Ignored where nobody listens, so one that
comes late does no harm."""


class Watch:
    """Looks at the tasks of one engine; the supervisor's.

    Attributes:
        timeouts: those that are in use, in seconds. They only become more.
    """

    def __init__(self, engine: Engine, crew: Crew) -> None:
        self.timeouts: set[float] = set()
        self._engine = engine
        self._crew = crew
        self._asked: Asked = frozenset()

    def look(self, rows: list[Row], now: int) -> int | None:
        """Do what is due; when to look again, on the channel's clock. None: not for this."""
        if not self.timeouts:
            return None
        outlook = look(rows, self._engine.options_of, now, self._asked)
        self._asked = outlook.asked
        for late in outlook.due:
            if late.means is Means.STOP:
                self._ask(late)
            else:
                self.kill(late.seat, late.number, late.item, Fate.TIMED_OUT)
        possible = first_possible(self.timeouts, now)
        return min((at for at in (outlook.next, possible) if at is not None), default=None)

    def kill(self, seat: int, number: int, item: int | None, fate: Fate) -> bool:
        """Kill the worker that is at a task (at this item of it), with all that it started.

        Under the engine's lock, or it takes it.

        Returns:
            False: it is at that no more, and was left alone; or it can not be killed.
        """
        engine = self._engine
        with engine.lock:
            worker = self._crew.at(seat)
            if worker is None or not worker.is_started or worker.life is Life.DOOMED:
                return False
            if not engine.channel.doom(seat, number, item):
                return False
            if fate is Fate.TIMED_OUT and item is None and self._has_begun(seat):
                engine.channel.pardon(seat)  # it was not the first item that was late
                return False
            try:
                slay(worker.child.pid, worker.child.sentinel)
            except PermissionError:  # it has become another user's
                engine.channel.pardon(seat)
                return False
            worker.fate = fate
            self._crew.happened(worker, Event.KILLED)
        return True

    def _has_begun(self, seat: int) -> bool:
        rows = map(Row._make, self._engine.channel.seats())
        return any(row.seat == seat and row.item is not None for row in rows)

    def _ask(self, late: Late) -> None:
        with self._engine.lock:
            worker = self._crew.at(late.seat)
            if worker is None or not worker.is_started or worker.life is Life.DOOMED:
                return
            if self._engine.channel.stop(late.seat, late.number, late.item):
                with contextlib.suppress(PermissionError):  # it has become another user's
                    worker.child.send_signal(STOP_SIGNAL)
