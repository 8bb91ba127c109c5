"""What was gathered of a cluster for one trace or one round of the doctor."""

from __future__ import annotations

import msgspec

from skep.model.inspection import Echo, Inspection, NameAnswer, Sightings, StoreCheck
from skep.model.spec import PortConfig


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One host's word, or ("silence") why there is none. ``asked_at`` and ``heard_at`` are by the
    clock of the host that asked."""

    node_id: str
    hostname: str
    vtep: str = ""
    address: str = ""
    asked_at: float = 0.0
    heard_at: float = 0.0
    inspection: Inspection | None = None
    silence: str = ""


class TaskFact(msgspec.Struct, frozen=True, kw_only=True):
    """A service's task as the manager knows it: where it should be, what became of it. ``error`` is
    set if something is wrong, ``message`` whenever there is something to say."""

    id: str
    name: str
    node_id: str
    desired: str
    state: str
    message: str = ""
    error: str = ""


class ServiceFact(msgspec.Struct, frozen=True, kw_only=True):
    """A service as the manager knows it. ``networks`` are names, ``vips`` by network name."""

    id: str
    name: str
    networks: tuple[str, ...] = ()
    vips: dict[str, str] = {}
    ports: tuple[PortConfig, ...] = ()
    tasks: tuple[TaskFact, ...] = ()


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a network's addresses are taken."""

    network: str
    subnet: str
    used: int
    size: int


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. ``whole`` false: this host alone was asked, because it is no manager."""

    by: str
    whole: bool
    reports: tuple[Report, ...] = ()
    services: tuple[ServiceFact, ...] = ()
    fills: tuple[Fill, ...] = ()
    pools: tuple[str, ...] = ()
    names: tuple[NameAnswer, ...] = ()
    store: StoreCheck | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a live probe showed: its outcome, and what each host saw of it (by node id)."""

    echo: Echo
    sightings: dict[str, Sightings] = {}
    unheard: dict[str, str] = {}


def tasks_in_words(service: ServiceFact | None, at_most: int = 4) -> str:
    """What became of a service's wanted tasks."""
    if service is None:
        return "no task of it is known to run"
    wanted = [each for each in service.tasks if each.desired == "running"]
    if not wanted:
        ending = [each.name for each in service.tasks if each.state == "running"]
        said = f"; {', '.join(ending[:at_most])} is being stopped" if ending else ""
        return f"service {service.name} wants no tasks (docker service scale){said}"
    words = [
        f"{each.name} is {each.state}" + (f" ({each.message})" if each.message else "")
        for each in wanted[:at_most]
    ]
    more = len(wanted) - at_most
    return "; ".join(words) + (f"; and {more} more" if more > 0 else "")
