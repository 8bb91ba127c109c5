"""What a user asks of the network beyond Docker's own words: by labels of services and nodes.

``docker service create --label skep.balance=random …`` sets one, ``docker service update
--label-add`` and ``--label-rm`` change it without touching tasks or connections.

| label | means |
|---|---|
| ``skep.balance`` | ``rr`` (default): in turns; ``random``; ``source``: one client, one task; and \
where all hosts have IPVS ``lc``: the task with the fewest connections; ``sh``, ``mh``: its hashes |
| ``skep.affinity`` | how long a client stays with its task after its last new connection: ``10m`` |
| ``skep.local-only`` | ``true``: a host's published ports lead to tasks on that host alone |
| ``skep.allow`` | who may use the published ports: addresses and prefixes, comma-separated |
| ``skep.publish-on`` | hosts that publish: ``node.labels.zone==a,node.hostname!=h1`` (all of it) |
| ``skep.publish-address`` | the one address of a host at which ports are published |
| ``skep.drain`` | how long open connections may keep a task that is to stop: ``30s``, ``2m`` |

A node has one: ``docker node update --label-add skep.weight=3 h1`` gives each task there three
turns where others have one; 0 gives them no new connections.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

import msgspec

PREFIX = "skep."
BALANCES = ("rr", "random", "source", "lc", "sh", "mh")
OTHER_WORDS = {"round-robin": "rr", "least-connections": "lc"}
NEEDS_IPVS = frozenset({"lc", "sh", "mh"})
"""What only IPVS can do: nftables counts no connections."""

WEIGHT_LABEL = "skep.weight"
MOST_WEIGHT = 100
LONGEST_AFFINITY = 30 * 86400

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
    ``affinity`` is in seconds, 0 for none; ``drain`` too, None for the task's own grace period."""

    balance: str = BALANCES[0]
    affinity: int = 0
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


def read_weight(labels: Mapping[str, str]) -> tuple[int, tuple[str, ...]]:
    """The weight that a node's labels give its tasks, and a sentence for each label that cannot be
    read; a task with such a one weighs 1."""
    complaints = [
        f"{key} is no option of Skep for nodes: there is {WEIGHT_LABEL}"
        for key in sorted(options_in(labels))
        if key != WEIGHT_LABEL
    ]
    value = labels.get(WEIGHT_LABEL, "1")
    if not re.fullmatch(r"[0-9]{1,3}", value) or int(value) > MOST_WEIGHT:
        complaints.append(
            f'label {WEIGHT_LABEL}: "{value}" is no whole number from 0 to {MOST_WEIGHT}'
        )
        value = "1"
    return int(value), tuple(complaints)


def _balance(value: str) -> str:
    word = OTHER_WORDS.get(value, value)
    if word not in BALANCES:
        raise ValueError(f'"{value}" is none of {", ".join(BALANCES)}')
    return word


def _affinity(value: str) -> int:
    seconds = _duration(value)
    if seconds != int(seconds) or not 1 <= seconds <= LONGEST_AFFINITY:
        raise ValueError(
            f'"{value}" is not a whole number of seconds from 1s to {LONGEST_AFFINITY // 3600}h'
        )
    return int(seconds)


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
    "skep.affinity": _affinity,
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
