"""How a task on Ray ended: what to tell of it, and whether another attempt may go better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from thalweg.flows import worker

# By the names of Ray's errors: what befell the worker, which may not befall the next one
MISHAPS = {
    "NodeDiedError": "its node went away",
    "WorkerCrashedError": "the worker process died: it was killed, or the system ran out of memory",
    "ActorDiedError": "the worker process died: it was killed, its node went away, or memory ran out",
    "OutOfMemoryError": "the worker was stopped, since its node ran out of memory, even with no other beside "
    "it: a smaller resources.memory or training.batch_sites need less",
    "ObjectStoreFullError": "Ray's object store is full",
    "OutOfDiskError": "the disk of Ray's object store is full",
    "LocalRayletDiedError": "its node went away",
}


@dataclass(frozen=True)
class Ending:
    """What came of one attempt.

    Attributes
    ----------
    message : one line; empty when it went well.
    traceback : of an error in the worker.
    hopeless : whether another attempt would fail in the same way.
    mishap : whether it was the machine's doing, not the cell's.
    crowded : whether its node ran out of memory; Ray stops the youngest worker then, not the largest.
    """

    message: str = ""
    traceback: str = ""
    hopeless: bool = False
    mishap: bool = False
    crowded: bool = False

    @property
    def good(self) -> bool:
        """Whether it went well."""
        return not self.message


def ending(reference: Any) -> Ending:
    """Give how a task that has ended did."""
    import ray

    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if type(cause).__name__ == "LostWorkerError":  # whose import would import torch
            return Ending(str(cause), mishap=True, crowded=cause.crowded)
        if type(cause).__name__ == "UnsentError":
            return Ending(str(cause), mishap=True)
        message = MISHAPS.get(type(cause).__name__) or worker.reason(cause)
        return Ending(message, str(error), worker.hopeless(cause))
    except ray.exceptions.RuntimeEnvSetupError as error:
        return Ending(f"the worker's environment could not be made: {worker.reason(error)}", hopeless=True)
    except ray.exceptions.RayError as error:
        name = type(error).__name__
        message = MISHAPS.get(name, f"the worker process died ({name})")
        return Ending(message, mishap=True, crowded=name == "OutOfMemoryError")
    return Ending()
