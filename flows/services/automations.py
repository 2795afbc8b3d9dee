"""What the Prefect server posts to ``THALWEG_NOTIFY_URL``: when a run fails, and when a model drifts."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from typing import Any

from thalweg.flows.server import configured_url
from thalweg.flows.services.health import prefect_asked
from thalweg.flows.services.keeper import TAG
from thalweg.storage.errors import InputError, UnavailableError

DRIFT_EVENT = "thalweg.drift"
BLOCK = "thalweg-notify"
NAMES = {"failed": "thalweg: tell of failures", "drift": "thalweg: tell of drift"}
FIELDS = ("name", "description", "trigger", "actions")
PAYLOADS = {
    "failed": '{"event": "failed", "flow_run": {{ flow_run.name|tojson }}, '
    '"id": {{ flow_run.id|string|tojson }}, '
    '"message": {{ (flow_run.state.message or "")|tojson }}}',
    "drift": '{"event": "drift", "run": {{ event.payload.run|tojson }}, '
    '"message": {{ event.payload.message|tojson }}}',
}


def _definition(kind: str, block: Any) -> Any:
    """Give an automation; its description tells definitions apart."""
    from prefect.events.actions import CallWebhook
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    wanted: dict[str, Any] = {"expect": [DRIFT_EVENT]}
    if kind == "failed":
        wanted = {
            "expect": ["prefect.flow-run.Failed", "prefect.flow-run.TimedOut"],
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "match_related": {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"},
            "for_each": {"prefect.resource.id"},
        }
    digest = hashlib.sha256(f"{wanted.items()}{PAYLOADS[kind]}{block}".encode()).hexdigest()
    return AutomationCore(
        name=NAMES[kind],
        description=f"made by Thalweg ({digest[:12]})",
        trigger=EventTrigger(posture=Posture.Reactive, threshold=1, **wanted),
        actions=[CallWebhook(block_document_id=block, payload=PAYLOADS[kind])],
    )


def ensure(url: str | None) -> list[str]:
    """Make the automations as they should be on the configured server, and give their names.

    Parameters
    ----------
    url : to which is posted; kept on the server as a secret, since it may hold a token. None deletes them.
    """
    from prefect.automations import Automation
    from prefect.blocks.webhook import Webhook
    from prefect.client.orchestration import get_client

    block: Any = None
    if url:
        given: Any = url
        block = Webhook(url=given, method="POST", allow_private_urls=True).save(BLOCK, overwrite=True)
    made = []
    with get_client(sync_client=True) as client:
        for kind, name in NAMES.items():
            wanted = _definition(kind, block) if url else None
            there = client.read_automations_by_name(name)
            for each in there:
                if wanted is None or each.description != wanted.description:
                    client.delete_automation(each.id)
            if wanted is not None and all(each.description != wanted.description for each in there):
                Automation(**{field: getattr(wanted, field) for field in FIELDS}).create()
            made += [name] if url else []
    return made


def main() -> int:
    """Tell the server; `thalweg up` runs this when it is well, and elsewhere whoever sets the address."""
    url = os.environ.get("THALWEG_NOTIFY_URL")
    try:
        if not configured_url():  # Prefect would start a server of its own, and tell that
            raise InputError("PREFECT_API_URL is missing: name the Prefect server")
        if url and not re.match(r"https?://[^/]", url):
            raise InputError(
                "THALWEG_NOTIFY_URL: is no address: write one such as https://hooks.lab.org/thalweg"
            )
        with prefect_asked():
            made = ensure(url)
    except (InputError, UnavailableError) as error:
        print(f"thalweg: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print(f"automations: {', '.join(made) or 'none'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
