"""Deployments of :func:`thalweg.flows.services.work.scheduled_work` on a Prefect server."""

from __future__ import annotations

import asyncio
import os
from argparse import Namespace
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from thalweg.flows.scheduling import deployment_name, first_planned
from thalweg.flows.services.keeper import TAG
from thalweg.flows.services.schedule_command import parameters
from thalweg.flows.services.settings import WORK_POOL
from thalweg.storage.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from prefect.schedules import Schedule

FLOW = "thalweg"


def deploy(kind: str, options: Namespace, timing: Schedule | None) -> dict[str, Any]:
    """Make or replace the deployment of a file.

    Raises
    ------
    UnavailableError
        When the server does not answer, or plans nothing.
    """
    name = f"{kind}-{deployment_name(options.spec)}"
    pool = options.work_pool or os.environ.get("THALWEG_WORK_POOL", WORK_POOL)
    return asyncio.run(_deploy(name, pool, parameters(kind, options), timing))


async def _deploy(name: str, pool: str, given: dict[str, Any], timing: Schedule | None) -> dict[str, Any]:
    import httpx
    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
    from prefect.flows import Flow
    from prefect.types.entrypoint import EntrypointType

    from thalweg.flows.services import work

    flow: Flow[..., str] = work.scheduled_work
    try:
        async with get_client() as client:
            try:
                await client.read_work_pool(pool)
            except ObjectNotFound:
                with suppress(ObjectAlreadyExists):
                    await client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
            deployment = await flow.ato_deployment(
                name=name,
                schedules=[timing] if timing else [],
                parameters=given,
                tags=[TAG, given["kind"]],
                concurrency_limit=ConcurrencyLimitConfig(
                    limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE
                ),
                work_pool_name=pool,
                job_variables={"working_dir": given["directory"]},
                entrypoint_type=EntrypointType.MODULE_PATH,
                description=f"{given['kind']} of {given['spec']}",
            )
            identity = await deployment.aapply()
            following = await first_planned(client, identity, str(client.api_url), Path("its log"))
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UnavailableError(f"the Prefect server does not do as it is asked: {reason}") from None
    zone = ZoneInfo((timing.timezone if timing else None) or "UTC")
    return {
        "deployment": f"{FLOW}/{name}",
        "id": str(identity),
        "work_pool": pool,
        "next": following.astimezone(zone).isoformat(timespec="minutes"),
        **given,
    }


def words(made: dict[str, Any]) -> str:
    """Say what was made."""
    following = datetime.fromisoformat(made["next"])
    return (
        f"{made['deployment']}: first at {following:%Y-%m-%d %H:%M} ({following:%z}), "
        f"by a worker of the work pool {made['work_pool']}"
    )


def remove(spec: Path, kind: str) -> str:
    """Delete the deployment of a file, and give its name.

    Raises
    ------
    InputError
        When there is none.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    name = f"{FLOW}/{kind}-{deployment_name(spec)}"
    with get_client(sync_client=True) as client:
        try:
            client.delete_deployment(client.read_deployment_by_name(name).id)
        except ObjectNotFound:
            raise InputError(f"{spec}: has no schedule {name} on this server") from None
    return name
