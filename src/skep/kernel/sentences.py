"""Operations in words, for the people who read why one failed. Pure."""

from __future__ import annotations

from skep.model import ops
from skep.model.netstate import HOST, Link
from skep.model.ops import AddNamespace, DelNamespace, Failure, Op


def failure(op: Op, errno: int, reason: str) -> Failure:
    """The failure of ``op`` for ``reason``, as a sentence."""
    where = "" if isinstance(op, AddNamespace | DelNamespace) else f" in {place(op.ns)}"
    return Failure(op, errno, f"cannot {describe(op)}{where}: {reason}")


def place(namespace: str) -> str:
    """What a namespace is called in a sentence."""
    return "the host's network namespace" if namespace == HOST else f"the namespace {namespace}"


def describe(op: Op) -> str:
    """What ``op`` is to do, after "cannot"; where is not said."""
    words = _link(op) or _inet(op) or _neighbour(op) or _other(op)
    assert words, f"no words for {op!r}"
    return words


def _link(op: Op) -> str:
    match op:
        case ops.AddLink(link=link):
            if link.source:
                return f"move the link {link.source} of the host"
            return f"create the {_kind(link)} {link.name}"
        case ops.DelLink(name=name):
            return f"delete the link {name}"
        case ops.ReturnLink(name=name, source=source):
            return f"give the link {name} back to the host as {source}"
        case ops.SetLink(link=link):
            return f"configure the link {link.name}"
    return ""


def _kind(link: Link) -> str:
    if link.kind == "veth" and link.peer is not None:
        return f"veth pair ({link.peer.name} in {place(link.peer.namespace)})"
    return f"{link.kind} link"


def _inet(op: Op) -> str:
    match op:
        case ops.AddAddress(address=address):
            return f"add the address {address.address} to {address.link}"
        case ops.DelAddress(address=address):
            return f"remove the address {address.address} from {address.link}"
        case ops.AddRoute(route=route):
            return f"add the route {route.destination} through {route.link}"
        case ops.DelRoute(route=route):
            return f"remove the route {route.destination} through {route.link}"
        case ops.AddRule(rule=rule):
            return f"add the rule that sends mark {rule.mark:#x} to table {rule.table}"
        case ops.DelRule(rule=rule):
            return f"remove the rule that sends mark {rule.mark:#x} to table {rule.table}"
    return ""


def _neighbour(op: Op) -> str:
    match op:
        case ops.SetNeighbour(neighbour=neighbour):
            return f"set the neighbour {neighbour.address} on {neighbour.link}"
        case ops.DelNeighbour(neighbour=neighbour):
            return f"remove the neighbour {neighbour.address} from {neighbour.link}"
        case ops.SetFdb(fdb=fdb):
            return f"forward frames for {fdb.mac} on {fdb.link} to {fdb.vtep}"
        case ops.DelFdb(fdb=fdb):
            return f"stop forwarding frames for {fdb.mac} on {fdb.link} to {fdb.vtep}"
    return ""


def _other(op: Op) -> str:
    match op:
        case AddNamespace(ns=name):
            return f"create {place(name)}"
        case DelNamespace(ns=name):
            return f"remove {place(name)}"
        case ops.SetSysctl(key=key, value=value):
            return f"set {key} to {value}"
        case ops.ReplaceTable(table=table):
            return f"write the nftables table {table.family} {table.name}"
        case ops.DelTable(family=family, name=name):
            return f"remove the nftables table {family} {name}"
        case ops.SetElements(family=family, table=table, set=name):
            return f"change {name} of the nftables table {family} {table}"
        case ops.AddChain(family=family, table=table, chain=chain):
            return f"add the chain {chain.name} to the nftables table {family} {table}"
        case ops.DelChain(family=family, table=table, name=name):
            return f"remove the chain {name} from the nftables table {family} {table}"
        case ops.CutFlows(address=address):
            return f"cut the flows to {address}"
    return _virtual(op)


def _virtual(op: Op) -> str:
    match op:
        case ops.SetTimeouts():
            return "set the time outs of IPVS"
        case ops.SetVirtual(service=service):
            return f"set the service of mark {service.mark:#x} of IPVS"
        case ops.DelVirtual(service=service):
            return f"remove the service of mark {service.mark:#x} from IPVS"
        case ops.SetDestination(service=service, destination=to):
            return f"send mark {service.mark:#x} to {to.address} by IPVS"
        case ops.DelDestination(service=service, destination=to):
            return f"stop sending mark {service.mark:#x} to {to.address} by IPVS"
    return ""
