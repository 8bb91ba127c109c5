"""Asking the swarm for the addresses of containers that users start by hand: one attachment for
each network, so that each can be given back alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from skep.agent.records import Record, Wanted
from skep.agent.uplink import Uplink
from skep.model.cluster import Attachment
from skep.model.errors import Broken, Clash, Forbidden, Invalid, Missing, Refusal
from skep.model.messages import Attach

SETUP_FAILED = "failed to set up container networking"

Given = dict[str, tuple[str, Attachment]]
"""By network: the task that holds an attachment, and the attachment."""


async def attach(
    uplink: Uplink | None, record: Record, wanted: Iterable[tuple[str, Wanted]]
) -> Given:
    """Addresses on these networks, by id, or by name if this host has not heard of one: it may just
    have been made. Raises `Missing` outside a swarm, `Broken` with the manager's sentence, after
    giving back what it had given."""
    given: Given = {}
    for reference, item in wanted:
        if uplink is None:
            raise Missing(f"{SETUP_FAILED}: network {item.network} not found")
        try:
            answer = await uplink.attach(_request(record, reference, item))
        except Refusal as refusal:
            await detach(uplink, [task_id for task_id, _ in given.values()])
            if isinstance(refusal, Missing | Forbidden | Invalid | Clash):
                raise Broken(
                    f"{SETUP_FAILED}: Could not attach to network {item.network}: {refusal}"
                ) from None
            raise
        for attachment in answer.attachments:
            given[attachment.network_id] = (answer.task_id, attachment)
    return given


async def detach(uplink: Uplink | None, task_ids: Iterable[str]) -> None:
    """Give addresses back; if a manager can be told, they are free when this is done."""
    if uplink is not None:
        await uplink.given_back([each for each in task_ids if await uplink.detach(each)])


def _request(record: Record, reference: str, item: Wanted) -> Callable[[int], Attach]:
    host_names = (record.hostname,) if record.hostname else ()
    return lambda serial: Attach(
        serial=serial,
        container_id=record.id,
        container_name=record.name,
        networks={reference: item.address},
        networks6={reference: item.address6} if item.address6 else {},
        names=(record.name, record.id[:12], *host_names),
        aliases={reference: item.aliases},
    )
