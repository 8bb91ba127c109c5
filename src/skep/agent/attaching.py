"""Asking the swarm for the addresses of containers that users start by hand: one attachment for
each network, so that each can be given back alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from skep.agent.records import Record, Wanted
from skep.agent.uplink import Uplink
from skep.model.assignment import NetworkAssignment
from skep.model.cluster import Attachment
from skep.model.errors import Broken, Clash, Forbidden, Invalid, Missing, Refusal, Unavailable
from skep.model.messages import Attach

SETUP_FAILED = "failed to set up container networking"

Given = dict[str, tuple[str, Attachment]]
"""By network: the task that holds an attachment, and the attachment."""


async def attach(
    uplink: Uplink | None, record: Record, wanted: Iterable[tuple[NetworkAssignment, Wanted]]
) -> Given:
    """Addresses on these networks. Raises `Unavailable` outside a swarm, `Broken` with the
    manager's sentence, after giving back what it had given."""
    given: Given = {}
    for network, item in wanted:
        if uplink is None:
            raise Unavailable("this host is not in a swarm: its networks are out of reach")
        try:
            answer = await uplink.attach(_request(record, network.id, item))
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
    """Give addresses back."""
    for task_id in task_ids:
        if uplink is not None:
            await uplink.detach(task_id)


def _request(record: Record, network_id: str, item: Wanted) -> Callable[[int], Attach]:
    host_names = (record.hostname,) if record.hostname else ()
    return lambda serial: Attach(
        serial=serial,
        container_id=record.id,
        container_name=record.name,
        networks={network_id: item.address},
        networks6={network_id: item.address6} if item.address6 else {},
        names=(record.name, record.id[:12], *host_names),
        aliases={network_id: item.aliases},
    )


def unknown(uplink: Uplink | None, name: str) -> Refusal:
    """Docker's sentences for a network that is not there, in a swarm and outside one."""
    if uplink is None:
        return Missing(f"{SETUP_FAILED}: network {name} not found")
    return Broken(
        f"{SETUP_FAILED}: Could not attach to network {name}: "
        f"rpc error: code = NotFound desc = network {name} not found"
    )
