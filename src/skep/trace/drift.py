"""What differs between a host's kernel and what it should contain, in words."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from skep.model import ops
from skep.model.netstate import HOST, Link, Namespace
from skep.model.ops import Op
from skep.trace.scene import Host

ABSENT = Namespace(name="")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be: ``namespace`` is where, ``what`` names the thing,
    ``state`` says how it is, ``should`` how it should be."""

    namespace: str
    what: str
    state: str
    should: str = ""
    foreign: bool = False

    @property
    def sentence(self) -> str:
        """All of it."""
        return f"{self.what} {self.state}" + (
            f": it should be {self.should}" if self.should else ""
        )


def difference(host: Host, op: Op) -> Difference:
    """What an operation that would repair the host says of how it is."""
    have = host.inspection.state.get(op.ns, ABSENT)
    what, state, should = _told(op, have)
    surplus = isinstance(op, _SURPLUS)
    return Difference(namespace=op.ns, what=what, state=state, should=should, foreign=surplus)


def differences(host: Host, todo: Iterable[Op]) -> list[Difference]:
    """The differences of several operations, each said once."""
    found: dict[str, Difference] = {}
    for op in todo:
        each = difference(host, op)
        found.setdefault(f"{each.namespace}/{each.what}", each)
    return list(found.values())


def place(host: Host, namespace: str) -> str:
    """A namespace for people: ``1-abc (network mongo) on h1``."""
    if namespace == HOST:
        return f"the host's namespace on {host.name}"
    owner = host.owner(namespace)
    return (
        f"{namespace} ({owner}) on {host.name}"
        if owner != namespace
        else (f"{namespace} on {host.name}")
    )


def repair_promise(host: Host) -> str:
    """When a host repairs what is not as planned."""
    if host.inspection.held_until:
        return (
            f"{host.name} is held {held_words(host)}: skep hold --release {host.name}, and skepd "
            "repairs it"
        )
    return (
        f"skepd on {host.name} will repair it within {host.inspection.sweep:.0f} s; "
        f"skep doctor --fix --host {host.name} does it now"
    )


def held_words(host: Host) -> str:
    """For how long a host is still held."""
    left = max(0.0, host.inspection.held_until - host.inspection.done_at)
    return f"for another {left / 60:.0f} min" if left >= 120 else f"for another {left:.0f} s"


_SURPLUS = (
    ops.DelNamespace,
    ops.DelLink,
    ops.ReturnLink,
    ops.DelAddress,
    ops.DelRoute,
    ops.DelRule,
    ops.DelNeighbour,
    ops.DelFdb,
    ops.DelTable,
)

Told = tuple[str, str, str]


def _told(op: Op, have: Namespace) -> Told:
    match op:
        case ops.AddNamespace():
            return f"namespace {op.ns}", "is missing", ""
        case ops.DelNamespace():
            return f"namespace {op.ns}", "belongs to nothing", ""
        case ops.AddLink(link=link):
            return f"link {link.name}", _link_state(link, have), _link_words(link)
        case ops.DelLink(name=name) | ops.ReturnLink(name=name):
            return f"link {name}", "belongs to nothing, or is another one than it should be", ""
        case ops.SetLink(link=link):
            return f"link {link.name}", *_link_change(link, have)
        case ops.AddAddress(address=address):
            return f"address {address.address} on {address.link}", "is missing", ""
        case ops.DelAddress(address=address):
            return f"address {address.address} on {address.link}", "should not be there", ""
        case ops.AddRoute(route=route):
            via = f" via {route.via}" if route.via else ""
            what = f"route to {route.destination} in table {route.table}"
            return what, "is missing or another", f"{route.destination}{via} dev {route.link}"
        case ops.DelRoute(route=route):
            return f"route to {route.destination} on {route.link}", "should not be there", ""
        case ops.AddRule(rule=rule):
            should = f"fwmark {rule.mark:#x} lookup {rule.table}"
            return f"routing rule for mark {rule.mark:#x}", "is missing", should
        case ops.DelRule(rule=rule):
            return f"routing rule for mark {rule.mark:#x}", "should not be there", ""
        case _:
            return _told_more(op, have)


def _told_more(op: Op, have: Namespace) -> Told:
    match op:
        case ops.SetNeighbour(neighbour=n):
            macs = [e.mac for e in have.neighbours if (e.link, e.address) == (n.link, n.address)]
            state = f"is {macs[0]}" if macs else "is missing"
            return f"neighbour {n.address} on {n.link}", state, n.mac
        case ops.DelNeighbour(neighbour=n):
            return f"neighbour {n.address} on {n.link}", "should not be there", ""
        case ops.SetFdb(fdb=f):
            vteps = [e.vtep for e in have.fdb if (e.link, e.mac) == (f.link, f.mac)]
            state = f"leads to {', '.join(vteps)}" if vteps else "is missing"
            return f"forwarding entry {f.mac} on {f.link}", state, f"dst {f.vtep}"
        case ops.DelFdb(fdb=f):
            return f"forwarding entry {f.mac} dst {f.vtep}", "should not be there", ""
        case ops.SetSysctl(key=key, value=value):
            return f"sysctl {key}", f"is {have.sysctls.get(key, 'not readable')}", value
        case ops.ReplaceTable(table=table):
            there = any((t.family, t.name) == (table.family, table.name) for t in have.tables)
            return (
                f"nft table {table.family} {table.name}",
                "is altered" if there else "is gone",
                "",
            )
        case ops.DelTable():
            return f"nft table {op.family} {op.name}", "belongs to nothing", ""
        case ops.SetElements():
            return f"nft set {op.set} of table {op.family} {op.table}", _elements(op), ""
        case _:
            return type(op).__name__, f"is due in {op.ns or 'the host'}", ""


def _elements(op: ops.SetElements) -> str:
    lacks = [" . ".join(map(str, each)) for each in sorted(op.add, key=str)]
    has = [" . ".join(map(str, each)) for each in sorted(op.remove, key=str)]
    words = [f"lacks {_few(lacks)}"] if lacks else []
    return " and ".join([*words, *([f"has {_few(has)} too many"] if has else [])])


def _few(items: list[str], at_most: int = 3) -> str:
    more = len(items) - at_most
    return ", ".join(items[:at_most]) + (f" and {more} more" if more > 0 else "")


def _link_state(link: Link, have: Namespace) -> str:
    seen = have.links.get(link.name)
    if seen is None:
        return "is missing"
    if seen.kind != link.kind:
        return f"is a {seen.kind or 'link'}"
    if seen.vxlan is not None and seen.vxlan != link.vxlan:
        return f"has VNI {seen.vxlan.vni}, port {seen.vxlan.port}, local {seen.vxlan.local}"
    return "is not as it was made"


def _link_words(link: Link) -> str:
    words = [f"a {link.kind}"]
    if link.vxlan is not None:
        words.append(f"VNI {link.vxlan.vni}, port {link.vxlan.port}, local {link.vxlan.local}")
    if link.master:
        words.append(f"on {link.master}")
    return " ".join(words)


def _link_change(link: Link, have: Namespace) -> tuple[str, str]:
    """How a link is, and how it should be, in what differs."""
    seen = have.links.get(link.name)
    if seen is None:
        return "is not as it should be", _link_words(link)
    pairs = (
        ("down" if not seen.up else "up", "up" if link.up else "down"),
        (f"mtu {seen.mtu}", f"mtu {link.mtu or seen.mtu}"),
        (f"mac {seen.mac}", f"mac {(link.mac or seen.mac).lower()}"),
        (f"on bridge {seen.master or 'none'}", f"on bridge {link.master or 'none'}"),
        (f"in group {seen.group:#x}", f"in group {link.group:#x}"),
    )
    differing = [(is_, should) for is_, should in pairs if is_.lower() != should.lower()]
    return (
        "is " + ", ".join(each[0] for each in differing),
        ", ".join(each[1] for each in differing),
    )
