"""What an engine can do: what is not here is refused where it is asked for."""

from __future__ import annotations

from enum import Enum


class Ability(Enum):
    """Something that not every engine can do. The value says what, for people."""

    BY_REFERENCE = "arguments and results are handed over as they are, not pickled"
    STOP = "a running task is stopped by cancel() and by its timeout; elsewhere it is given up"
    SURVIVES = "the engine goes on when a worker dies"
    PLACE = "WorkerDied names the node and the process id"
    EXACT_DEATH = (
        "a death costs one item of a chunk; elsewhere all items of the chunk share its fate"
    )
    BROADCAST = "functions and share()d objects are sent once to each node"
    GRACE = "grace: TaskTimeout is raised inside the task first"
    INITIALIZER = "initializer, worker_state()"
    FINALIZER = "finalizer"
    RECYCLING = "maxtasksperchild, max_age, max_memory: workers are replaced"
    RESIZE = "resize(), idle_timeout: workers come and go"
    SURROUNDINGS = "env, cwd, nice, cpus, threads, seed: what workers find around them"
    OUTPUT = 'output="tagged", logs: what workers print and log is brought here'
    MEMORY = "memory: a budget for what is on its way"
    LOCAL_OBJECTS = "locks, queues, values and shared memory as arguments"
