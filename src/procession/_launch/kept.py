"""Descriptors that this room keeps for long, each with the identity of its file.

A program may close descriptors it does not know (to become a daemon); the number can then be some
other file, which must be neither used nor closed in its stead.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class Kept(NamedTuple):
    """A descriptor, with the device and inode of what it was when it was kept."""

    fd: int
    file: tuple[int, int]

    @classmethod
    def of(cls, fd: int) -> Kept:
        """Keep this one. Raises OSError if it is closed."""
        return cls(fd, _identity(fd))

    def is_intact(self) -> bool:
        """Whether the number is still that file."""
        try:
            return _identity(self.fd) == self.file
        except OSError:
            return False

    def close(self) -> None:
        """Close it, if it is still that file."""
        if self.is_intact():
            os.close(self.fd)


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
