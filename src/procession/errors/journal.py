"""The error of journals."""

from __future__ import annotations


class JournalError(Exception):
    """A journal can not be used: in use, damaged, another kind of file, of another function.

    Attributes:
        path: the journal's file.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"journal {self.path!r}: {self.problem}"


JournalError.__module__ = "procession"

__all__ = ["JournalError"]
