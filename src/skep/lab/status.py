"""Looking at labs: how they are, and which host is meant by a name."""

from __future__ import annotations

import msgspec

from skep.lab import records, switch
from skep.lab.client import Api
from skep.lab.layout import Host, Lab, host_named
from skep.lab.records import LabRecord
from skep.lab.up import Condition, condition
from skep.model.errors import Missing, Unavailable

_DAEMON_PING = 1.0


class HostStatus(msgspec.Struct, frozen=True):
    """A host and how it is: "up", "daemon does not answer" or "ended"."""

    host: Host
    state: str


class LabStatus(msgspec.Struct, frozen=True):
    """A lab, its hosts, and the pairs of hosts that are cut apart."""

    lab: Lab
    condition: Condition
    hosts: tuple[HostStatus, ...] = ()
    cuts: tuple[tuple[str, str], ...] = ()


def status(lab: Lab) -> LabStatus:
    """How the lab is. Raises `Missing` if there is nothing of it."""
    state = condition(lab)
    if state is Condition.ABSENT:
        raise Missing(f'no lab "{lab.name}": make it with "skep lab up --name {lab.name}"')
    record = records.lab_record(lab)
    hosts = lab.hosts(record.hosts) if record is not None else ()
    cuts = tuple(switch.cuts(lab)) if state is Condition.UP else ()
    return LabStatus(lab, state, tuple(HostStatus(host, _state(host)) for host in hosts), cuts)


def _state(host: Host) -> str:
    if records.init_of(host) is None:
        return "ended"
    return "up" if Api(host.socket, _DAEMON_PING).answers() else "daemon does not answer"


def find(lab: Lab, name: str) -> Host:
    """A host of a lab that exists. Raises `Missing`."""
    return host_named(lab, name, _record(lab).hosts)


def find_pair(lab: Lab, one: str, other: str) -> tuple[Host, Host]:
    """Two hosts of a lab that is up. Raises `Missing`, `Unavailable`."""
    pair = find(lab, one), find(lab, other)
    if condition(lab) is not Condition.UP:
        raise Unavailable(f'lab "{lab.name}" is not up: "skep lab up --name {lab.name}"')
    return pair


def _record(lab: Lab) -> LabRecord:
    record = records.lab_record(lab)
    if record is None:
        raise Missing(f'no lab "{lab.name}": make it with "skep lab up --name {lab.name}"')
    return record
