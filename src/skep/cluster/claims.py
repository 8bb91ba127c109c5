"""Which ports a service claims, on which hosts and at which address, and who else has them there.

Source of the sentences about other services: swarmkit manager/controlapi/service.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from skep.cluster import constraints
from skep.cluster.needs import HOST_MODE, endpoint_of, is_everywhere
from skep.cluster.view import View
from skep.model.cluster import Node, Service, TakenPort
from skep.model.options import Condition, ServiceOptions, read_options
from skep.model.spec import PortConfig, ServiceSpec


class Claim(msgspec.Struct, frozen=True):
    """A port with a number, and where it is published: on hosts that meet all ``conditions`` (mode
    host: on those of its tasks), at ``address`` ("" for any)."""

    protocol: str
    port: int
    mode: str
    address: str = ""
    conditions: tuple[Condition, ...] = ()

    def meets(self, other: Claim) -> bool:
        """Whether both may be on one host at one address. Which hosts there are does not count: a
        label that is given later must not make two services meet."""
        return (
            (self.protocol, self.port) == (other.protocol, other.port)
            and not (self.mode == other.mode == HOST_MODE)
            and (not self.address or not other.address or self.address == other.address)
            and not _exclude(self, other)
        )

    def takes(self, taken: TakenPort) -> bool:
        """Whether a program of a host that is published on would hear nothing any more."""
        same = (self.protocol, self.port) == (taken.protocol, taken.port)
        return same and (not self.address or taken.address in ("", self.address))


def _exclude(one: Claim, other: Claim) -> bool:
    """Whether no host meets the conditions of both. Mode host knows no conditions."""
    if HOST_MODE in (one.mode, other.mode):
        return False
    values: dict[str, set[str]] = {}
    for each in (*one.conditions, *other.conditions):
        if each.op == "==":
            values.setdefault(each.subject, set()).add(each.value)
    return any(len(found) > 1 for found in values.values()) or any(
        each.op == "!=" and each.value in values.get(each.subject, ())
        for each in (*one.conditions, *other.conditions)
    )


def claims_of(spec: ServiceSpec, ports: tuple[PortConfig, ...]) -> list[Claim]:
    """What a service with that spec claims by those of its ports that have a number."""
    options, _ = read_options(spec.labels)
    return [_claim(port, options) for port in ports if port.published_port]


def _claim(port: PortConfig, options: ServiceOptions) -> Claim:
    return Claim(
        port.protocol,
        port.published_port,
        port.publish_mode,
        options.publish_address,
        options.publish_on if port.publish_mode != HOST_MODE else (),
    )


def held_claims(service: Service) -> list[Claim]:
    """What a service claims: by its spec, and by what it was given for its dynamic ports."""
    return list(dict.fromkeys(claims_of(service.spec, _ports(service))))


def _ports(service: Service) -> tuple[PortConfig, ...]:
    allocated = service.endpoint.ports if service.endpoint else ()
    return (*endpoint_of(service.spec).ports, *allocated)


def _numbers(service: Service) -> list[tuple[str, int]]:
    return [(port.protocol, port.published_port) for port in _ports(service)]


def port_conflict(view: View, spec: ServiceSpec, *, but: str) -> str:
    """Which port of ``spec`` another service than ``but`` has, in Docker's words; "" if none.

    Services that publish the same port in mode host get along: they are kept on different hosts.
    So do those that publish on hosts, or at addresses, that exclude each other.
    """
    wanted = claims_of(spec, endpoint_of(spec).ports)
    numbers = {(each.protocol, each.port) for each in wanted}
    for service in view.services.values() if wanted else ():
        if service.id == but or numbers.isdisjoint(_numbers(service)):
            continue
        for claim in held_claims(service):
            if any(each.meets(claim) for each in wanted):
                mode = "a host-published port" if claim.mode == HOST_MODE else "an ingress port"
                return (
                    f"port '{claim.port}' is already in use by service "
                    f"'{service.spec.name}' ({service.id}) as {mode}"
                )
    return ""


def listener_conflict(view: View, spec: ServiceSpec, *, but: str) -> str:
    """Which port of ``spec``, that service ``but`` does not publish yet, a program has on one of
    the hosts that would publish it; "" if none.

    A port in mode host concerns the hosts that must have a task: others can be avoided.
    """
    old = view.services.get(but)
    had = held_claims(old) if old else []
    new = [each for each in claims_of(spec, endpoint_of(spec).ports) if each not in had]
    if not new:
        return ""
    programs = Programs(view)
    for claim in new:
        if claim.mode == HOST_MODE and not is_everywhere(spec):
            continue
        for node, taken in programs.that_have(claim, spec):
            return in_use(node, taken)
    return ""


def in_use(node: Node, taken: TakenPort) -> str:
    """The sentence for a port that a program has."""
    return f"port {taken.words} is in use on node {node.description.hostname} by {taken.holder}"


class Programs:
    """The programs of all hosts that are there, by the ports that they listen on."""

    def __init__(self, view: View) -> None:
        self._found: dict[tuple[str, int], list[tuple[Node, TakenPort]]] = {}
        for node in view.nodes.values():
            for taken in node.taken if node.state != "down" else ():
                self._found.setdefault((taken.protocol, taken.port), []).append((node, taken))

    def that_have(self, claim: Claim, spec: ServiceSpec) -> Iterator[tuple[Node, TakenPort]]:
        """Those that have a claimed port on the hosts that publish it."""
        for node, taken in self._found.get((claim.protocol, claim.port), ()):
            if claim.takes(taken) and _concerns(node, spec, claim):
                yield node, taken

    def complaint(self, service: Service) -> str:
        """Which port of the mesh that a service has a program has come to listen on; "" if none.
        What comes for the port goes to the service nevertheless."""
        if not self._found:
            return ""
        for claim in held_claims(service):
            for node, taken in self.that_have(claim, service.spec):
                if claim.mode != HOST_MODE:
                    return f"{in_use(node, taken)}, which hears nothing: the service has the port"
        return ""


def _concerns(node: Node, spec: ServiceSpec, claim: Claim) -> bool:
    if claim.mode == HOST_MODE:
        placement = spec.task_template.placement
        expressions = placement.constraints if placement else ()
        return node.spec.availability == "active" and not constraints.violated(expressions, node)
    facts = (node.id, node.description.hostname, node.spec.labels)
    return all(each.holds(*facts) for each in claim.conditions)


def taken_numbers(view: View, spec: ServiceSpec, protocol: str) -> set[int]:
    """The ports that programs have on hosts that publish what ``spec`` publishes."""
    options, _ = read_options(spec.labels)
    any_port = _claim(PortConfig(protocol=protocol), options)
    return {
        taken.port
        for node in view.nodes.values()
        if node.state != "down" and _concerns(node, spec, any_port)
        for taken in node.taken
        if taken.protocol == protocol
        and (not any_port.address or taken.address in ("", any_port.address))
    }
