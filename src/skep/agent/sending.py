"""Sending packets on purpose: one probe from inside a namespace, and echoes through the tunnels."""

from __future__ import annotations

import asyncio
import errno
import os
import selectors
import socket
import struct
import time
from collections.abc import Mapping

from skep.agent.asking import query
from skep.kernel.kernel import Kernel
from skep.model.errors import Refusal
from skep.model.inspection import Echo, Probe, TunnelCheck

ECHO_REQUEST, ECHO_REPLY, UNREACHABLE = 8, 0, 3
ICMP = struct.Struct("!BBHHH")
IP_MTU_DISCOVER = 10
DONT_FRAGMENT = 3
TUNNEL_PATIENCE = 1.5
"""Seconds in which echoes through tunnels are waited for."""
DISCARD = 9
"""A TCP port that nobody listens on: to be refused is an answer."""
SMALL = 64
"""Bytes of a small echo request, its IPv4 header included."""
HEADERS = 28
HEADERS6 = 48
ECHO_REQUEST6, ECHO_REPLY6 = 128, 129

Opened = tuple[socket.socket, ...]


async def send(kernel: Kernel, probe: Probe) -> Echo:
    """Send a probe and wait for its answer."""
    ways = {"tcp": _connect, "udp": _datagram, "icmp": _ping}
    way = ways.get(probe.protocol)
    if way is None:
        return Echo(answered=False, words=f"there are no probes of {probe.protocol}")
    try:
        opened = await kernel.within(probe.namespace, lambda: _open(probe))
    except (OSError, Refusal) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return Echo(answered=False, words=f"the probe cannot be made: {why}")
    try:
        return await asyncio.to_thread(_timed, way, opened, probe)
    finally:
        opened.close()


def _open(probe: Probe) -> socket.socket:
    six = ":" in probe.target
    kinds = {
        "tcp": (socket.SOCK_STREAM, 0),
        "udp": (socket.SOCK_DGRAM, 0),
        "icmp": (socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP),
    }
    kind, protocol = kinds[probe.protocol]
    family = socket.AF_INET6 if six else socket.AF_INET
    opened = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
    opened.settimeout(probe.seconds)
    try:
        if probe.protocol != "icmp":
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(("", probe.token))
    except OSError:
        opened.close()
        raise
    return opened


def _timed(way: object, opened: socket.socket, probe: Probe) -> Echo:
    assert callable(way), "each protocol has its way"
    begun = time.monotonic()
    try:
        answered, words = way(opened, probe)
    except TimeoutError:
        answered, words = False, f"no answer within {probe.seconds:.1f} s"
    except OSError as error:
        answered, words = _said(error)
    return Echo(answered=answered, seconds=time.monotonic() - begun, words=words)


def _said(error: OSError) -> tuple[bool, str]:
    if error.errno == errno.ECONNREFUSED:
        return False, "refused: the address answers, nobody listens on the port"
    return False, (error.strerror or str(error)).lower()


def _connect(opened: socket.socket, probe: Probe) -> tuple[bool, str]:
    opened.connect((probe.target, probe.port))
    shown = f"[{probe.target}]" if ":" in probe.target else probe.target
    return True, f"connected to {shown}:{probe.port}"


def _datagram(opened: socket.socket, probe: Probe) -> tuple[bool, str]:
    data = query("skep.invalid", probe.token) if probe.port == 53 else b"skep trace\n"
    opened.connect((probe.target, probe.port))
    opened.send(data)
    try:
        reply = opened.recv(65535)
    except TimeoutError:
        return (
            False,
            f"no datagram came back within {probe.seconds:.1f} s (servers need not answer)",
        )
    return True, f"{len(reply)} bytes came back"


def _ping(opened: socket.socket, probe: Probe) -> tuple[bool, str]:
    deadline = time.monotonic() + probe.seconds
    six = ":" in probe.target
    opened.sendto(
        (echo_request6 if six else echo_request)(probe.token, 1, SMALL), (probe.target, 0)
    )
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        opened.settimeout(left)
        packet, source = opened.recvfrom(65535)
        found = read_echo6(packet, source[0]) if six else read_echo(packet)
        if found is not None and found[:2] == (probe.token, 1):
            return True, f"echo reply from {found[2]}"


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(ident: int, sequence: int, size: int) -> bytes:
    """An echo request that makes an IPv4 packet of ``size`` bytes."""
    payload = bytes(size - HEADERS)
    header = ICMP.pack(ECHO_REQUEST, 0, 0, ident, sequence)
    return ICMP.pack(ECHO_REQUEST, 0, checksum(header + payload), ident, sequence) + payload


def echo_request6(ident: int, sequence: int, size: int) -> bytes:
    """An ICMPv6 echo request that makes an IPv6 packet of ``size`` bytes. The kernel fills in its
    checksum."""
    return ICMP.pack(ECHO_REQUEST6, 0, 0, ident, sequence) + bytes(size - HEADERS6)


def read_echo6(packet: bytes, source: str) -> tuple[int, int, str] | None:
    """The same as `read_echo` of an ICMPv6 message, which comes without its IPv6 header."""
    if len(packet) < ICMP.size:
        return None
    kind, _, _, ident, sequence = ICMP.unpack_from(packet)
    return (ident, sequence, source) if kind == ECHO_REPLY6 else None


def read_echo(packet: bytes) -> tuple[int, int, str] | None:
    """Id, sequence and sender of an echo reply as a raw socket gives it; None for others."""
    length = (packet[0] & 0xF) * 4
    if len(packet) < length + ICMP.size:
        return None
    kind, _, _, ident, sequence = ICMP.unpack_from(packet, length)
    if kind != ECHO_REPLY:
        return None
    return ident, sequence, socket.inet_ntoa(packet[12:16])


# --- tunnels


async def check_tunnels(
    kernel: Kernel, namespace: str, peers: Mapping[str, str], size: int
) -> tuple[TunnelCheck, ...]:
    """Try the tunnels to ``peers`` (addresses on the ingress network by node id) from inside the
    ingress sandbox: with small echoes, with such as fill ``size`` bytes, and by TCP."""
    if not peers:
        return ()
    try:
        raw, *streams = await kernel.within(namespace, lambda: _open_many(len(peers)))
    except (OSError, Refusal):
        return ()
    try:
        return await asyncio.to_thread(_check_all, raw, streams, peers, size)
    finally:
        for each in (raw, *streams):
            each.close()


def _open_many(count: int) -> Opened:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMP)
    raw.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, DONT_FRAGMENT)
    raw.setblocking(False)
    streams = []
    for _ in range(count):
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        stream.setblocking(False)
        streams.append(stream)
    return (raw, *streams)


def _check_all(
    raw: socket.socket, streams: list[socket.socket], peers: Mapping[str, str], size: int
) -> tuple[TunnelCheck, ...]:
    ident = int.from_bytes(os.urandom(2), "big")
    sent: dict[tuple[str, int], float] = {}
    for address in peers.values():
        for sequence, bytes_ in ((1, SMALL), (2, size)):
            sent[address, sequence] = time.monotonic()
            _try_send(raw, echo_request(ident, sequence, bytes_), address)
    tried = dict(zip(streams, peers.values(), strict=True))
    for stream, address in tried.items():
        stream.connect_ex((address, DISCARD))
    trips = _echoes(raw, ident, sent)
    outcomes = _outcomes(tried)
    return tuple(
        TunnelCheck(
            node_id=node_id,
            small=trips.get((address, 1), 0.0),
            large=trips.get((address, 2), 0.0),
            large_size=size,
            tcp=outcomes[address],
        )
        for node_id, address in peers.items()
    )


def _try_send(raw: socket.socket, packet: bytes, address: str) -> None:
    """What cannot be sent is not answered, which says it all."""
    try:
        raw.sendto(packet, (address, 0))
    except OSError:
        return


def _echoes(
    raw: socket.socket, ident: int, sent: Mapping[tuple[str, int], float]
) -> dict[tuple[str, int], float]:
    """Round trips by address and sequence, until all came back or time is up."""
    trips: dict[tuple[str, int], float] = {}
    raw.setblocking(True)
    deadline = time.monotonic() + TUNNEL_PATIENCE
    while len(trips) < len(sent) and (left := deadline - time.monotonic()) > 0:
        raw.settimeout(left)
        try:
            packet = raw.recv(65535)
        except TimeoutError:
            break
        found = read_echo(packet)
        if found is not None and found[0] == ident:
            key = (found[2], found[1])
            if key in sent:
                trips.setdefault(key, time.monotonic() - sent[key])
    return trips


def _outcomes(tried: Mapping[socket.socket, str]) -> dict[str, str]:
    """What became of each connection by its address: "" if there was any answer."""
    found: dict[str, str] = {}
    deadline = time.monotonic() + TUNNEL_PATIENCE
    with selectors.DefaultSelector() as waiting:
        for stream, address in tried.items():
            waiting.register(stream, selectors.EVENT_WRITE, address)
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                stream = waiting.unregister(key.fileobj).fileobj  # type: ignore[assignment]
                error = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                answered = error in (0, errno.ECONNREFUSED)
                found[key.data] = "" if answered else os.strerror(error).lower()
    return {**dict.fromkeys(tried.values(), f"no answer within {TUNNEL_PATIENCE} s"), **found}
