"""One line of text about a call that runs, or has ended."""

from __future__ import annotations

from procession._observe.progress_meter import Snapshot

BLOCKS = ("█", "░")
"""What a bar is made of: what is done, what is left."""

PLAIN_BLOCKS = ("#", ".")
"""The same where a stream can not write those."""

_WIDEST, _NARROWEST = 40, 6
"""Columns of the bar itself; where there are fewer, it is left out."""


def running_line(shown: Snapshot, label: str, width: int, blocks: tuple[str, str]) -> str:
    """Such as ``resize  45% ████░░░░ 450/1000  36.4/s  0:15 left  2 failed``, at most `width`."""
    begin, end = f"{label}  " if label else "", _troubles(shown)
    if shown.total is None:
        return f"{begin}{shown.done} done  {_pace(shown.rate)}  {_span(shown.elapsed)}{end}"[:width]
    left = "" if shown.eta is None else f"  {_span(shown.eta)} left"
    share = min(1.0, shown.done / shown.total) if shown.total else 1.0
    begin += f"{int(share * 100):3d}% "
    end = f" {shown.done}/{shown.total}  {_pace(shown.rate)}{left}{end}"
    columns = min(_WIDEST, width - len(begin) - len(end))
    if columns < _NARROWEST:
        return (begin + end.lstrip())[:width]
    full = int(share * columns)
    return f"{begin}{blocks[0] * full}{blocks[1] * (columns - full)}{end}"


def last_line(shown: Snapshot, label: str, width: int, success: bool) -> str:
    """Such as ``resize  1000/1000 in 0:27  37.0/s``; or says where it stopped."""
    begin = f"{label}  " if label else ""
    done = f"{shown.done}" if shown.total is None else f"{shown.done}/{shown.total}"
    how = f"{done} in" if success else f"stopped at {done} after"
    return f"{begin}{how} {_span(shown.elapsed)}  {_pace(shown.rate)}{_troubles(shown)}"[:width]


def troubles(shown: Snapshot) -> str:
    """Such as ``2 failed, 1 retried``; empty if there are none."""
    words = [(shown.failed, "failed"), (shown.retried, "retried")]
    return ", ".join(f"{count} {word}" for count, word in words if count)


def _troubles(shown: Snapshot) -> str:
    text = troubles(shown)
    return f"  {text}" if text else ""


def _pace(rate: float) -> str:
    if 0 < rate < 0.1:
        return f"{1 / rate:.0f} s each"
    return f"{rate:.1f}/s" if rate < 100 else f"{rate:.0f}/s"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
