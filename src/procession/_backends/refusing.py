"""What an engine can not do is refused where it is asked for, and who can is named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn, Protocol

from procession._backends.abilities import Ability
from procession._backends.naming import abilities_by_name
from procession._engine.options import Options
from procession.errors.backend import NotSupported

# What has to be able to do what, for a word that is not as it is without being asked for.
_WORDS: dict[str, Ability] = {
    "initializer": Ability.INITIALIZER,
    "finalizer": Ability.FINALIZER,
    "maxtasksperchild": Ability.RECYCLING,
    "max_tasks_per_child": Ability.RECYCLING,
    "max_age": Ability.RECYCLING,
    "max_memory": Ability.RECYCLING,
    "idle_timeout": Ability.RESIZE,
    **dict.fromkeys(("env", "cwd", "nice", "cpus", "threads", "seed"), Ability.SURROUNDINGS),
    "output": Ability.OUTPUT,
    "logs": Ability.OUTPUT,
    "memory": Ability.MEMORY,
    "grace": Ability.GRACE,
}

_AS_IT_IS: dict[str, Any] = {"output": "plain"}


class Able(Protocol):
    """An engine, or what makes one."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do."""


def refuse(engine: Able, ability: Ability, asked: str) -> NoReturn:
    """Raise NotSupported."""
    able = [name for name, abilities in abilities_by_name().items() if ability in abilities]
    raise NotSupported(
        f"{engine.name} can not do this: {ability.value} (asked for by {asked}); engines that can: "
        f"{', '.join(able) or 'none'}"
    )


def check_words(engine: Able, words: Iterable[tuple[str, Any]]) -> None:
    """Raises NotSupported for what an engine's pool is asked for and the engine can not do."""
    for name, value in words:
        ability = _WORDS.get(name)
        if ability is None or value is None or value == _AS_IT_IS.get(name):
            continue
        if ability not in engine.abilities:
            asked = name if callable(value) else f"{name}={value!r}"
            refuse(engine, ability, asked)


def check_options(engine: Able, options: Options) -> None:
    """Raises NotSupported for options of calls that an engine can not follow."""
    check_words(engine, [("grace", options.grace)])
