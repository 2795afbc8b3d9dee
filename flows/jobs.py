"""Jobs on a Ray cluster: what is there, what they say, and stopping them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from thalweg.flows import logs
from thalweg.flows.job_address import (
    LOCAL,
    TOKEN,
    TOKEN_FILE,
    dashboard_url,
    host_and_port,
    is_local,
    shown,
    token_for,
)
from thalweg.flows.job_details import Job, UnknownJobError, job_of
from thalweg.flows.names import nearest
from thalweg.storage.errors import InputError, UnavailableError

ADDRESS = "RAY_API_SERVER_ADDRESS"
ANSWER_SECONDS = 10.0
LOST_SECONDS = 120.0  # a head that is started again answers within this
LOOK_SECONDS = 2.0
STOP_SECONDS = 60.0  # Ray kills what has not ended after 30


class Jobs:
    """The jobs of one cluster.

    Parameters
    ----------
    address : of its dashboard, such as ``http://head:8265``; else that of ``RAY_API_SERVER_ADDRESS``,
        else that of this machine.

    Raises
    ------
    InputError
        When the address is none, or the cluster wants another token.
    UnavailableError
        When nothing answers there.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = dashboard_url(address or os.environ.get(ADDRESS) or LOCAL)
        self.name = shown(self.address)
        token = token_for(self.address)
        if token is None and not is_local(self.address):
            print(
                f"warning: {self.name} is not this machine, and there is no token ({TOKEN}): whoever can "
                "reach it can run anything there",
                file=sys.stderr,
            )
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            socket.create_connection(host_and_port(self.address), timeout=ANSWER_SECONDS).close()
        except OSError as error:
            raise self._silent(error.strerror or str(error)) from None
        self.client = self._client()

    def _client(self) -> Any:
        from ray.job_submission import JobSubmissionClient

        for name in ("dashboard_sdk", "job.sdk"):  # they tell of every upload and of every connection
            logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.WARNING)
        before = os.environ.get(ADDRESS)
        os.environ[ADDRESS] = self.address  # the environment has precedence over the argument
        try:
            with self._explained():
                return JobSubmissionClient(self.address, headers=self.headers)
        finally:
            if before is None:
                del os.environ[ADDRESS]
            else:
                os.environ[ADDRESS] = before

    def all(self) -> list[Job]:
        """Give the jobs that Thalweg submitted, the latest first."""
        with self._explained():
            found = [job_of(each) for each in self.client.list_jobs() if "thalweg" in (each.metadata or {})]
        return sorted(found, key=lambda job: job.started or datetime.now(UTC), reverse=True)

    def find(self, id: str) -> Job:  # noqa: A002 - the word used everywhere for it
        """Give the job with this id, or the only one whose id starts so.

        Raises
        ------
        UnknownJobError
            When there is none; the nearest is named.
        InputError
            When there is more than one.
        """
        jobs = self.all()
        exact = [job for job in jobs if job.id == id]
        found = exact or [job for job in jobs if id and job.id.startswith(id)]
        if len(found) == 1:
            return found[0]
        if found:
            named = ", ".join(job.id for job in found[:5])
            raise InputError(f"job {id!r} fits {len(found)} at {self.name}: {named}; give more of the id")
        raise UnknownJobError(f"no job {id!r} at {self.name}{nearest(id, [job.id for job in jobs])}")

    def submit(self, id: str, package: Path, metadata: Mapping[str, str]) -> bool:  # noqa: A002
        """Submit a packed experiment; False when there is a job with this id already."""
        environment = {
            **{name: os.environ[name] for name in logs.PASSED_ON if name in os.environ},
            "THALWEG_JOB": id,
            # cells are told to stop, and say so in their folders
            "RAY_JOB_STOP_WAIT_TIME_S": "30",
        }
        deadline = time.monotonic() + LOST_SECONDS
        while True:
            try:
                with self._explained():
                    self.client.submit_job(
                        entrypoint="python -m thalweg.flows.submitted",
                        submission_id=id,
                        runtime_env={"working_dir": str(package), "env_vars": environment},
                        metadata={"thalweg": "1", **metadata},
                    )
                return True
            except (InputError, UnavailableError) as error:
                if "already exists" in str(error):
                    return False
                # a cluster that was just started takes a while
                if isinstance(error, InputError) or time.monotonic() > deadline:
                    raise
            time.sleep(LOOK_SECONDS)

    def cancel(self, id: str) -> bool:  # noqa: A002
        """Stop a job and wait until it has ended; False when it had before.

        Whoever submits it again right after would else be attached to the one that is about to end.
        """
        id = self.find(id).id  # noqa: A001
        with self._explained():
            stopped = bool(self.client.stop_job(id))
        deadline = time.monotonic() + STOP_SECONDS
        while stopped and not self.find(id).ended and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS / 4)
        return stopped

    def logs(self, id: str) -> str:  # noqa: A002
        """Give all that a job has said so far."""
        with self._explained():
            return str(self.client.get_job_logs(self.find(id).id))

    def follow(self, id: str, write: Callable[[str], object]) -> Job:  # noqa: A002
        """Pass on what a job says until it has ended; returns how it ended.

        A connection that breaks is made again, and what was said before is not repeated.

        Raises
        ------
        UnknownJobError
            When the cluster does not know the job, or no longer.
        UnavailableError
            When the cluster does not answer for minutes.
        """
        said, heard = 0, time.monotonic()
        while True:
            try:
                said = asyncio.run(self._tail(id, said, write))
                job = self.find(id)
                heard = time.monotonic()
                if job.ended:
                    return job
            except UnavailableError:
                if time.monotonic() - heard > LOST_SECONDS:
                    raise
            time.sleep(LOOK_SECONDS)

    async def _tail(self, id: str, said: int, write: Callable[[str], object]) -> int:  # noqa: A002
        """Pass on what comes after the first ``said`` characters until the connection ends."""
        import aiohttp

        place = 0
        try:
            async for text in self.client.tail_job_logs(id):
                new = text[max(0, said - place) :]
                place += len(text)
                if new:
                    write(new)
        except BrokenPipeError:
            raise  # who reads what we write has seen enough
        except (aiohttp.ClientError, OSError, RuntimeError):
            pass  # the job's state, which is asked for next, says why
        return max(said, place)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the client raises into one line."""
        import ray
        import requests

        try:
            yield
        except ray.exceptions.AuthenticationError:
            what = "does not take the token" if self.headers else "wants a token"
            raise InputError(
                f"{self.name}: the cluster {what}: set {TOKEN}, or {TOKEN_FILE} to a file with it"
            ) from None
        except (requests.exceptions.ConnectionError, ConnectionError) as error:
            raise self._silent(str(error)) from None
        except (requests.exceptions.RequestException, RuntimeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            text = shown(" ".join(str(error).split())[:200])
            if "status code 5" in text:
                raise UnavailableError(f"{self.name}: the cluster says: {text}") from None
            raise InputError(f"{self.name}: is no dashboard of a Ray cluster, or refused: {text}") from None

    def _silent(self, reason: str) -> UnavailableError:
        return UnavailableError(
            f"{self.name}: no Ray cluster answers ({reason[:100]}); --address or {ADDRESS} must name its "
            "dashboard, such as http://head:8265"
        )
