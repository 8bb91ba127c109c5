"""What a service's user asks of the network beyond Docker's own words: by labels of the service.

``docker service create --label skep.balance=random …`` sets one, ``docker service update
--label-add`` and ``--label-rm`` change it without touching tasks or connections.

| label | means |
|---|---|
| ``skep.balance`` | ``round-robin`` (default), ``random``, or ``source``: one client, one task |
| ``skep.local-only`` | ``true``: a host's published ports lead to tasks on that host alone |
| ``skep.allow`` | who may use the published ports: addresses and prefixes, comma-separated |
| ``skep.publish-on`` | hosts that publish: ``node.labels.zone==a,node.hostname!=h1`` (all of it) |
| ``skep.publish-address`` | the one address of a host at which ports are published |
| ``skep.drain`` | how long open connections may keep a task that is to stop: ``30s``, ``2m`` |
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

import msgspec

PREFIX = "skep."
BALANCES = ("round-robin", "random", "source")

_CONDITION = re.compile(r"\s*(node\.(?:id|hostname|labels\.[^\s=!]+))\s*(==|!=)\s*(\S+)\s*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Condition(msgspec.Struct, frozen=True):
    """What a host must be: ``subject`` (node.id, node.hostname, node.labels.…) ``op`` ``value``."""

    subject: str
    op: str
    value: str

    def holds(self, id: str, hostname: str, labels: Mapping[str, str]) -> bool:
        """Whether a host of that id, name and labels meets it."""
        name = self.subject.removeprefix("node.")
        own = {"id": id, "hostname": hostname}
        found = own.get(name, labels.get(name.removeprefix("labels."), ""))
        return (found == self.value) == (self.op == "==")


NOWHERE = Condition("node.id", "==", "")
"""No host meets it."""


class ServiceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options, read. ``allow`` None is everybody, () nobody; prefixes do not overlap.
    ``drain`` is in seconds, None for the task's own grace period."""

    balance: str = BALANCES[0]
    local_only: bool = False
    allow: tuple[str, ...] | None = None
    publish_on: tuple[Condition, ...] = ()
    publish_address: str = ""
    drain: float | None = None


DEFAULTS = ServiceOptions()


def options_in(labels: Mapping[str, str]) -> dict[str, str]:
    """Those of a service's labels that are options."""
    return {key: value for key, value in labels.items() if key.startswith(PREFIX)}


def read_options(labels: Mapping[str, str]) -> tuple[ServiceOptions, tuple[str, ...]]:
    """The options among labels, and a sentence for each that cannot be read.

    Who may ask and where is asked errs on the side of closing: what cannot be read admits nobody.
    """
    found: dict[str, object] = {}
    complaints = []
    for key, value in sorted(options_in(labels).items()):
        reader = _READERS.get(key)
        if reader is None:
            complaints.append(
                f"{key} is no option of Skep: there are {', '.join(sorted(_READERS))}"
            )
            continue
        try:
            read = reader(value)
        except ValueError as error:
            complaints.append(f"label {key}: {error}")
            read = _CLOSED.get(key)
        if read is not None:
            found[key.removeprefix(PREFIX).replace("-", "_")] = read
    return (msgspec.convert(found, ServiceOptions) if found else DEFAULTS), tuple(complaints)


def _balance(value: str) -> str:
    if value not in BALANCES:
        raise ValueError(f'"{value}" is none of {", ".join(BALANCES)}')
    return value


def _truth(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError(f'"{value}" is neither true nor false')
    return value == "true"


def _prefixes(value: str) -> tuple[str, ...]:
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for word in value.split(","):
        try:
            networks.append(ipaddress.ip_network(word.strip()))
        except ValueError:
            raise ValueError(f'"{word.strip()}" is no address or prefix') from None
    fours = ipaddress.collapse_addresses(n for n in networks if n.version == 4)
    sixes = ipaddress.collapse_addresses(n for n in networks if n.version == 6)
    return (
        *(str(each).removesuffix("/32") for each in fours),
        *(str(each).removesuffix("/128") for each in sixes),
    )


def _conditions(value: str) -> tuple[Condition, ...]:
    return tuple(_condition(word) for word in value.split(","))


def _condition(word: str) -> Condition:
    found = _CONDITION.fullmatch(word)
    if found is None:
        raise ValueError(
            f'"{word.strip()}" is no condition on nodes such as node.labels.zone==a or '
            "node.hostname!=h1"
        )
    return Condition(*found.groups())


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f'"{value}" is no address') from None


def _duration(value: str) -> float:
    found = _DURATION.fullmatch(value)
    if found is None:
        raise ValueError(f'"{value}" is no duration such as 30s or 2m')
    return float(found[1]) * _SECONDS[found[2]]


_READERS: dict[str, Callable[[str], object]] = {
    "skep.balance": _balance,
    "skep.local-only": _truth,
    "skep.allow": _prefixes,
    "skep.publish-on": _conditions,
    "skep.publish-address": _address,
    "skep.drain": _duration,
}
_CLOSED: dict[str, object] = {
    "skep.allow": (),
    "skep.publish-on": (NOWHERE,),
    "skep.publish-address": "0.0.0.0",
    "skep.local-only": True,
}
