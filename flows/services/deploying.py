"""Deployments of :func:`thalweg.flows.services.work.scheduled_work` on a Prefect server."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from thalweg.flows.scheduling import deployment_name, first_planned, place_digest
from thalweg.flows.services.health import prefect_asked
from thalweg.flows.services.keeper import TAG
from thalweg.flows.services.schedule_command import parameters
from thalweg.flows.services.settings import WORK_POOL
from thalweg.storage.errors import InputError

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.schedules import Schedule

FLOW = "thalweg"
UNDER_WAY = ("PENDING", "RUNNING", "CANCELLING")
LOOK_SECONDS = 2.0


def deploy(kind: str, options: Namespace, timing: Schedule | None) -> dict[str, Any]:
    """Make or replace the deployment of a file.

    Raises
    ------
    InputError
        When the work pool's name is none.
    UnavailableError
        When the server does not answer, or plans nothing.
    """
    name = f"{kind}-{deployment_name(options.spec)}"
    pool = options.work_pool or os.environ.get("THALWEG_WORK_POOL", WORK_POOL)
    if bad := sorted(set(pool) & set("/%&<>")):
        raise InputError(f"--work-pool {pool}: a name has no {' '.join(bad)} in it")
    made = asyncio.run(_deploy(name, pool, parameters(kind, options), timing))
    # of when the file had another name in it; one with a run under way is paused, and goes the next time
    _delete(options.spec, (kind,), keep=name, wait=False)
    return made


async def _deploy(name: str, pool: str, given: dict[str, Any], timing: Schedule | None) -> dict[str, Any]:
    from prefect import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
    from prefect.flows import Flow
    from prefect.types.entrypoint import EntrypointType

    from thalweg.flows.services import work

    flow: Flow[..., str] = work.scheduled_work
    with prefect_asked():
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


def remove(spec: Path, kinds: Sequence[str]) -> list[str]:
    """Delete the deployments of a file, and give their names; runs that are under way are waited for.

    Parameters
    ----------
    kinds : of which it may be.

    Raises
    ------
    InputError
        When there is none.
    UnavailableError
        When the server does not answer.
    """
    removed = _delete(spec, kinds)
    if not removed:
        names = [f"{FLOW}/{kind}-{deployment_name(spec)}" for kind in kinds]
        raise InputError(f"{spec}: has no schedule {' or '.join(names)} on this server")
    return removed


def _delete(spec: Path, kinds: Sequence[str], *, keep: str = "", wait: bool = True) -> list[str]:
    """Delete the deployments of a file but one, whatever its content was when they were made.

    Parameters
    ----------
    wait : for runs that are under way; else their deployments are only paused.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import DeploymentFilter, FlowFilter

    ending = f"-{place_digest(spec)}"
    of_file = DeploymentFilter.model_validate({"name": {"like_": ending}})
    of_flow = FlowFilter.model_validate({"name": {"any_": [FLOW]}})
    removed = []
    with prefect_asked(), get_client(sync_client=True) as client:
        for each in client.read_deployments(flow_filter=of_flow, deployment_filter=of_file):
            ours = each.name.endswith(ending) and each.name.partition("-")[0] in kinds
            if ours and each.name != keep:
                client.pause_deployment(each.id)
                if _ended(client, each.id, f"{FLOW}/{each.name}", wait):
                    client.delete_deployment(each.id)
                    removed.append(f"{FLOW}/{each.name}")
    return removed


def _ended(client: SyncPrefectClient, deployment: UUID, name: str, wait: bool) -> bool:
    """Tell whether no run is under way: Prefect can note no end of one whose deployment is gone."""
    from prefect.client.schemas.filters import FlowRunFilter

    from thalweg.flows.scheduled import forget_missed

    under_way = FlowRunFilter.model_validate(
        {"deployment_id": {"any_": [deployment]}, "state": {"type": {"any_": list(UNDER_WAY)}}}
    )
    told = False
    while True:
        forget_missed(str(deployment))
        runs = client.read_flow_runs(flow_run_filter=under_way, limit=1)
        if not runs or not wait:
            return not runs
        if not told:
            print(
                f"{name}: nothing more is planned; waiting for {runs[0].name} ({runs[0].id}) to end "
                "(Ctrl-C: it stays paused)",
                file=sys.stderr,
                flush=True,
            )
        told = True
        time.sleep(LOOK_SECONDS)
