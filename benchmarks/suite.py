"""What a run is about: its cases, its rivals, and what we hold ourselves to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules

from benchmarks.contract import TIMES, Case, Rival, Unit

OURSELVES = "procession"
"""What all others are compared with."""


@dataclass(frozen=True)
class Budget:
    """How many times faster than a rival we want to be in a case.

    Attributes:
        whose: which way of our own is meant.
    """

    case: str
    rival: str
    times: float
    whose: str = OURSELVES

    @property
    def against(self) -> str:
        """What we are compared with."""
        return self.rival

    @property
    def unit(self) -> Unit:
        """What the measured one is shown in."""
        return TIMES

    @property
    def wanted(self) -> str:
        """For the report."""
        return f"≥ {self.times:g} ×"

    def holds(self, ratio: float) -> bool:
        """Whether so many times as fast is enough."""
        return ratio >= self.times


@dataclass(frozen=True)
class Ceiling:
    """The most that our own figure may be: in a case whose figures are ratios themselves, or of
    a time.

    Attributes:
        against: what the case's figures are ratios to; of a time, the clock.
        most: in `unit`.
    """

    case: str
    against: str
    most: float
    whose: str = OURSELVES
    unit: Unit = TIMES

    @property
    def wanted(self) -> str:
        """For the report."""
        return f"≤ {self.most:g} {self.unit.name}"

    def holds(self, figure: float) -> bool:
        """Whether the figure is low enough."""
        return self.unit.of(figure) <= self.most


@dataclass(frozen=True)
class Suite:
    """Cases and the rivals that do them. Each is a module or package of ``benchmarks``.

    Attributes:
        name: that module's.
        title: for the report.
        rivals: the package with one module per rival, named as on the command line.
        cases: by name, in the order of the report.
        budgets: what we hold ourselves to.
        seconds: what one measurement may take before its `n` is reduced.
        beside: those that no loss is counted against: other ways of our own, and floors.
        workers: whether the number of workers can be chosen.
    """

    name: str
    title: str
    rivals: str
    cases: Mapping[str, Case]
    budgets: tuple[Budget | Ceiling, ...]
    seconds: float
    beside: frozenset[str] = frozenset()
    workers: bool = False

    def names(self) -> list[str]:
        """All rivals that have a file, ourselves first; nothing is imported but their package."""
        found = [module.name for module in iter_modules(import_module(self.rivals).__path__)]
        return sorted(found, key=lambda name: (name != OURSELVES, OURSELVES not in name, name))

    def load(self, name: str) -> type[Rival]:
        """The rival's adapter. Imports the rival: for the cell's process only.

        Raises:
            ModuleNotFoundError: the rival is not installed.
        """
        module = import_module(name if "." in name else f"{self.rivals}.{name}")
        rival: type[Rival] = module.Rival
        return rival


def load_suite(name: str) -> Suite:
    """The suite of that name."""
    suite: Suite = import_module(f"benchmarks.{name}").SUITE
    return suite
