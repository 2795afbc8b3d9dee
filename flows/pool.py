"""Worker processes on Ray that go from one piece of work to the next, and are replaced when they are lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar

from thalweg.flows.cluster import Head, check_fits, room
from thalweg.flows.endings import Ending, ending
from thalweg.flows.experiment import Resources
from thalweg.storage.errors import UnavailableError

Work = TypeVar("Work")

LOOK_SECONDS = 0.5
COUNT_SECONDS = 5.0  # between two looks at how many workers the cluster has room for
STILLBORN = 5  # workers lost one after the other before they were ready: the next would be too


class Pool(Generic[Work]):
    """Actors of one class, started as they are needed.

    They are kept from trial to trial: a process that starts and imports takes seconds.

    Parameters
    ----------
    make : gives the class and the arguments of an actor. It has ``ready()``, which is called first and when
        others were lost, and ``run(work)``.

    Raises
    ------
    InputError
        When the cluster lacks the resources that one worker needs.
    """

    def __init__(self, resources: Resources, make: Callable[[], tuple[type, tuple[Any, ...]]]) -> None:
        self.resources, self.make = resources, make
        self.fits, self.counted = check_fits(resources), time.monotonic()
        self.head = Head()
        self.starting: dict[Any, Any] = {}
        self.free: list[Any] = []
        self.running: dict[Any, tuple[Any, Work]] = {}
        self.known: set[Any] = set()
        self.stillborn = 0

    @property
    def work(self) -> list[Work]:
        """What is being worked on."""
        return [work for _, work in self.running.values()]

    def close(self) -> list[Work]:
        """End all workers; gives what they were working on."""
        import ray

        for actor in (*self.starting.values(), *self.free, *(actor for actor, _ in self.running.values())):
            with suppress(ray.exceptions.RayError):
                ray.kill(actor)
        left = self.work
        self.starting, self.free, self.running = {}, [], {}
        return left

    def start(self, work: Work) -> None:
        """Give work to a free worker."""
        actor = self.free.pop()
        self.running[actor.run.remote(work)] = (actor, work)

    def wait(self, most: int) -> Iterator[tuple[Work, Any, Ending]]:
        """Wait a little, and give what has ended: the work, its result, and how it ended.

        Parameters
        ----------
        most : how many workers are of use now.

        Raises
        ------
        UnavailableError
            When the cluster's head has gone away, or workers die before they begin.
        """
        import ray

        self._fill(most)
        references = [*self.starting, *self.running]
        if not references:
            time.sleep(LOOK_SECONDS)
            return
        try:
            ended, _ = ray.wait(references, num_returns=1, timeout=LOOK_SECONDS)
        except SystemError as error:  # how Ray passes on what a signal's handler raised
            raise error.__cause__ or error from None
        for reference in ended:
            if reference in self.starting:
                self._started(reference)
            else:
                yield self._ended(reference)

    def _fill(self, most: int) -> None:
        """Start workers where there is room for them."""
        if self.head.check() and time.monotonic() - self.counted >= COUNT_SECONDS:
            self.fits, self.counted = room(self.resources), time.monotonic()
        there = len(self.starting) + len(self.free) + len(self.running)
        for _ in range(min(self.fits, most) - there):
            actor = self._actor()
            self.starting[actor.ready.remote()] = actor

    def _actor(self) -> Any:
        import ray

        kind, arguments = self.make()
        alone = self.resources.workers_per_model == 1  # else its own workers have the resources
        remote = ray.remote(
            num_cpus=self.resources.cpus_per_worker if alone else 0,
            num_gpus=self.resources.gpus_per_worker if alone else 0,
            max_restarts=0,
            max_task_retries=0,
        )(kind)
        return remote.remote(*arguments)

    def _started(self, reference: Any) -> None:
        import ray

        actor = self.starting.pop(reference)
        try:
            ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError:
            self.stillborn += actor not in self.known
            if self.stillborn >= STILLBORN:
                raise UnavailableError(
                    f"{STILLBORN} workers died as they started: {ending(reference).message}"
                ) from None
            return
        self.stillborn = 0
        self.known.add(actor)
        self.free.append(actor)

    def _ended(self, reference: Any) -> tuple[Work, Any, Ending]:
        import ray

        actor, work = self.running.pop(reference)
        end = ending(reference)
        if end.mishap:
            ray.kill(actor)
            # those that are free may have been on the same node: work is for workers that answer
            self.starting.update({each.ready.remote(): each for each in self.free})
            self.free = []
        else:
            self.free.append(actor)
        return work, ray.get(reference) if end.good else None, end
