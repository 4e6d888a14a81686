"""The errors of memory that processes share."""

from __future__ import annotations

_MIB = 1 << 20


class ArenaFull(MemoryError):
    """What is to be sent does not fit into the memory that this family of processes may use.

    Attributes:
        asked: bytes that were asked for; 0 if that is not known any more.
        budget: bytes that all of the family's blocks may have, see ``memory=``; 0: no bound.
        in_use: bytes of blocks that somebody has.
        warm: bytes of free blocks that are kept for the next ones.
        needed: bytes of the block that it takes: 16 KiB at least, and up to a quarter more than
            asked for.
    """

    def __init__(
        self, asked: int = 0, budget: int = 0, in_use: int = 0, warm: int = 0, needed: int = 0
    ) -> None:
        super().__init__(asked, budget, in_use, warm, needed)
        self.asked = asked
        self.budget = budget
        self.in_use = in_use
        self.warm = warm
        self.needed = max(needed, asked)

    def __str__(self) -> str:
        what = f"{_mib(self.asked)} do not fit into" if self.asked else "there is no room in"
        share = ""
        if self.asked and self.in_use + self.needed <= self.budget:
            share = " (three quarters of it for what is sent, the rest for results)"
        elif self.asked and self.in_use + self.asked <= self.budget:
            what = f"{_mib(self.asked)}, a block of {_mib(self.needed)}, do not fit into"
        return (
            f"{what} the shared arena: {_mib(self.in_use)} of its budget of "
            f"{_mib(self.budget)}{share} are in use, {_mib(self.warm)} are free and kept warm; "
            "allow more (memory=), have fewer tasks or items on their way at once, or drop "
            "results that are not needed any more"
        )


def _mib(size: int) -> str:
    if size < 10 * _MIB:
        return f"{size / _MIB:.3g} MiB" if size >= _MIB // 100 else f"{size:,} bytes"
    return f"{-(-size // _MIB):,} MiB"


ArenaFull.__module__ = "procession"

__all__ = ["ArenaFull"]
