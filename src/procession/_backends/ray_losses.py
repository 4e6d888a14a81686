"""What an error of Ray's means for a task of ours. Goes by names: Ray need not be there."""

from __future__ import annotations

from procession._backends.seam import Loss

_MOST_TOLD = 400  # of a message of Ray's


def loss_of(error: BaseException) -> Loss:
    """What an error of Ray's means for a task of ours."""
    names = {kind.__name__ for kind in type(error).__mro__}
    told = _told(error)
    for name, words in _ENDS.items():
        if name in names:
            return Loss(f"{words} (Ray: {told})" if told else words)
    if "ImportError" in told or "ModuleNotFoundError" in told:
        if "procession" not in told:
            return Loss(f"Ray's workers can not import what it needs (Ray: {told})")
        return Loss(
            "procession can not be imported by Ray's workers: install the same version on all "
            f'nodes, or give runtime_env={{"pip": ["procession"]}} (Ray: {told})',
            is_engine=True,
        )
    if names & _BREAKS:
        return Loss(f"Ray can run nothing any more: {told}", is_engine=True)
    return Loss(f"Ray could not run it, or not bring its result ({type(error).__name__}: {told})")


_ENDS = {
    "TaskCancelledError": "it was stopped by ray.cancel()",
    "OutOfMemoryError": "its worker was killed by Ray, as its node was short of memory",
    "NodeDiedError": "its node died",
    "WorkerCrashedError": "its worker process died",
    "ObjectLostError": "its result, or an argument, was lost with a node",
}
_BREAKS = {
    "AuthenticationError",
    "LocalRayletDiedError",
    "RaySystemError",
    "RpcError",
    "RuntimeEnvSetupError",
    "TaskUnschedulableError",
}


def _told(error: BaseException) -> str:
    """What its message says: behind a traceback the last line, else all in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    has_traceback = "ray::" in str(error) or "traceback:" in str(error).lower()
    return " ".join(lines[-1:] if has_traceback else lines)[:_MOST_TOLD]
