"""IPVS of the network namespace that the calling thread is in: services by firewall mark, their
destinations, and the time outs of connections.

Only what Skep uses of it: services that are known by a mark, destinations that are reached by
translation (masq). Services by address, which Skep never makes, are not seen.

Source: linux/ip_vs.h; net/netfilter/ipvs/ip_vs_ctl.c.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator

from skep.kernel import genl
from skep.kernel.genl import NETLINK_GENERIC, attributes, find_family
from skep.kernel.rtnetlink import message as nl
from skep.kernel.rtnetlink.message import Message, Request
from skep.kernel.rtnetlink.socket import Socket
from skep.model.netstate import Destination, Timeouts, VirtualService

FAMILY, VERSION = "IPVS", 1

NEW_SERVICE, SET_SERVICE, DEL_SERVICE, GET_SERVICE = 1, 2, 3, 4
NEW_DESTINATION, SET_DESTINATION, DEL_DESTINATION, GET_DESTINATION = 5, 6, 7, 8
SET_CONFIG, GET_CONFIG = 12, 13

SERVICE, DESTINATION = 1, 2
TIMEOUT_TCP, TIMEOUT_TCP_FIN, TIMEOUT_UDP = 4, 5, 6

AF, MARK, SCHEDULER, FLAGS, PERSISTENCE, NETMASK = 1, 5, 6, 7, 8, 9
TO_ADDRESS, TO_PORT, TO_METHOD, TO_WEIGHT, TO_UPPER, TO_LOWER = 1, 2, 3, 4, 5, 6
TO_ACTIVE, TO_INACTIVE, TO_FAMILY = 7, 8, 11

PERSISTENT = 0x1
EVERY_FLAG = 0xFFFFFFFF
METHODS = {0: "masq", 1: "local", 2: "tunnel", 3: "direct", 4: "bypass"}
METHOD_BITS = 0x7

ADDRESS_SIZE = 16
FAMILIES = {"ip": socket.AF_INET, "ip6": socket.AF_INET6}
_NAMES = {int(number): name for name, number in FAMILIES.items()}

_FLAGS = struct.Struct("=II")
"""ip_vs_flags: the flags, and which of them count."""


class Ipvs:
    """IPVS by the number of its generic netlink family. All methods raise OSError."""

    def __init__(self, family: int) -> None:
        self.family = family

    def _request(self, command: int, *parts: bytes) -> Request:
        return genl.request(self.family, command, VERSION, *parts)

    # --- what is there

    def services(self) -> frozenset[VirtualService]:
        """All services by mark, each with its destinations."""
        with _opened() as opened:
            found = [each for each, _ in self._dumped(opened)]
        return frozenset(found)

    def connections(self) -> dict[tuple[str, int, str], tuple[int, int]]:
        """How many connections each destination has, active and inactive ones, by its service's
        family and mark, and its address."""
        with _opened() as opened:
            return {
                (service.family, service.mark, parse_destination(message).address): (
                    nl.as_number(body[TO_ACTIVE]),
                    nl.as_number(body[TO_INACTIVE]),
                )
                for service, messages in self._dumped(opened)
                for message in messages
                for body in [_nested(message, DESTINATION)]
            }

    def _dumped(self, opened: Socket) -> Iterator[tuple[VirtualService, list[Message]]]:
        for message in opened.dump(self._request(GET_SERVICE)):
            header = parse_service(message)
            if header is not None:
                which = service_attribute(header, whole=False)
                found = opened.dump(self._request(GET_DESTINATION, which))
                yield _with(header, found), found

    def timeouts(self) -> Timeouts:
        """The time outs of connections."""
        with _opened() as opened:
            (answer,) = opened.ask([self._request(GET_CONFIG)])
        if not isinstance(answer, Message):
            raise OSError(answer.errno, answer.sentence)
        return parse_timeouts(answer)

    # --- what is done

    def set_service(self, service: VirtualService) -> None:
        """Make a service, or change it to this; its destinations stay as they are."""
        body = service_attribute(service, whole=True)
        self._make_or_change((NEW_SERVICE, SET_SERVICE), body)

    def delete_service(self, service: VirtualService) -> None:
        """Remove a service with all its destinations, if it is there."""
        self._remove(DEL_SERVICE, service_attribute(service, whole=False), errno.ESRCH)

    def set_destination(self, service: VirtualService, destination: Destination) -> None:
        """Add a destination to a service, or change it to this."""
        which = service_attribute(service, whole=False)
        body = destination_attribute(destination, whole=True)
        self._make_or_change((NEW_DESTINATION, SET_DESTINATION), which + body)

    def delete_destination(self, service: VirtualService, destination: Destination) -> None:
        """Take a destination away, if it is there."""
        which = service_attribute(service, whole=False)
        body = destination_attribute(destination, whole=False)
        self._remove(DEL_DESTINATION, which + body, errno.ENOENT, errno.ESRCH)

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Set the time outs of connections."""
        self._do(self._request(SET_CONFIG, timeouts_attributes(timeouts)))

    def _make_or_change(self, commands: tuple[int, int], body: bytes) -> None:
        new, change = commands
        if self._do(self._request(new, body), errno.EEXIST):
            self._do(self._request(change, body))

    def _remove(self, command: int, body: bytes, *gone: int) -> None:
        self._do(self._request(command, body), *gone)

    def _do(self, request: Request, *expected: int) -> int:
        """0, or one of the error numbers that are ``expected``."""
        with _opened() as opened:
            (refused,) = opened.send([request])
        if refused is None:
            return 0
        if refused.errno in expected:
            return refused.errno
        raise OSError(refused.errno, refused.sentence)


def find() -> Ipvs | None:
    """The kernel's IPVS; None if its module is not there, or not loaded. Raises OSError."""
    with _opened() as opened:
        number = find_family(opened, FAMILY)
    return Ipvs(number) if number else None


def _opened() -> contextlib.closing[Socket]:
    return contextlib.closing(Socket(NETLINK_GENERIC))


# --- the messages


def service_attribute(service: VirtualService, *, whole: bool) -> bytes:
    """A service; unless ``whole``, only what it is known by."""
    family = FAMILIES[service.family]
    parts = [nl.attribute(AF, struct.pack("=H", family)), nl.number(MARK, service.mark)]
    if whole:
        flags = PERSISTENT if service.affinity else 0
        # One client is one address: a mask for IPv4, a length for IPv6.
        mask = b"\xff\xff\xff\xff" if family == socket.AF_INET else struct.pack("=I", 128)
        parts += [
            nl.text(SCHEDULER, service.scheduler),
            nl.attribute(FLAGS, _FLAGS.pack(flags, EVERY_FLAG)),
            nl.number(PERSISTENCE, service.affinity),
            nl.attribute(NETMASK, mask),
        ]
    return nl.nested(SERVICE, *parts)


def destination_attribute(destination: Destination, *, whole: bool) -> bytes:
    """A destination; unless ``whole``, only what it is known by."""
    address = nl.ip_bytes(destination.address)
    family = nl.family_of(destination.address)
    parts = [
        nl.attribute(TO_ADDRESS, address.ljust(ADDRESS_SIZE, b"\0")),
        nl.attribute(TO_PORT, struct.pack(">H", 0)),
        nl.attribute(TO_FAMILY, struct.pack("=H", family)),
    ]
    if whole:
        assert destination.method == "masq", "Skep only ever translates"
        parts += [
            nl.number(TO_METHOD, 0),
            nl.number(TO_WEIGHT, destination.weight),
            nl.number(TO_UPPER, 0),
            nl.number(TO_LOWER, 0),
        ]
    return nl.nested(DESTINATION, *parts)


def timeouts_attributes(timeouts: Timeouts) -> bytes:
    """The time outs' attributes."""
    return (
        nl.number(TIMEOUT_TCP, timeouts.tcp)
        + nl.number(TIMEOUT_TCP_FIN, timeouts.tcp_fin)
        + nl.number(TIMEOUT_UDP, timeouts.udp)
    )


def parse_service(message: Message) -> VirtualService | None:
    """A service without its destinations; None for one that is known by an address."""
    found = _nested(message, SERVICE)
    if not nl.as_number(found.get(MARK, b"")):
        return None
    flags, _ = _FLAGS.unpack(found[FLAGS])
    return VirtualService(
        mark=nl.as_number(found[MARK]),
        family=_NAMES[nl.as_number(found[AF])],
        scheduler=nl.as_text(found[SCHEDULER]),
        affinity=nl.as_number(found[PERSISTENCE]) if flags & PERSISTENT else 0,
    )


def parse_destination(message: Message) -> Destination:
    """A destination."""
    found = _nested(message, DESTINATION)
    # Kernels before 3.18 do not say the family; all their destinations are of their service's.
    four = nl.as_number(found.get(TO_FAMILY, b"\2\0")) == socket.AF_INET
    method = nl.as_number(found[TO_METHOD]) & METHOD_BITS
    return Destination(
        address=nl.as_ip(found[TO_ADDRESS][: 4 if four else ADDRESS_SIZE]),
        weight=nl.as_number(found[TO_WEIGHT]),
        port=int.from_bytes(found[TO_PORT], "big"),
        method=METHODS.get(method, str(method)),
    )


def parse_timeouts(message: Message) -> Timeouts:
    """The time outs."""
    found = attributes(message)
    return Timeouts(
        tcp=nl.as_number(found[TIMEOUT_TCP]),
        tcp_fin=nl.as_number(found[TIMEOUT_TCP_FIN]),
        udp=nl.as_number(found[TIMEOUT_UDP]),
    )


def _nested(message: Message, kind: int) -> dict[int, bytes]:
    return nl.attributes(attributes(message)[kind], 0)


def _with(header: VirtualService, found: list[Message]) -> VirtualService:
    destinations = frozenset(parse_destination(each) for each in found)
    return VirtualService(
        mark=header.mark,
        family=header.family,
        scheduler=header.scheduler,
        affinity=header.affinity,
        destinations=destinations,
    )
