"""Watching which rules of nftables a probe meets: the kernel tells of every rule that a marked
packet is judged by.

What marks a probe's packets is a table that belongs to the socket it was made by: when that is
closed, be it because the process was killed, the kernel takes the table away. Nobody else's table
is touched, and there is nothing at all while nobody watches.

Source: nft(8) on ``flags owner`` and ``nftrace``; linux/netfilter/nf_tables.h, NFTA_TRACE_….
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

from skep.kernel.generation import NETLINK_NETFILTER
from skep.kernel.nftables import Library
from skep.kernel.rtnetlink.message import as_text, attributes, messages
from skep.model.inspection import TRACER, RuleHit

TRACE = 10 << 8 | 17
"""NFT_MSG_TRACE."""
GROUP = 9
"""NFNLGRP_NFTRACE."""
SOL_NETLINK, ADD_MEMBERSHIP = 270, 1
RECEIVE_SIZE = 1 << 16
FAMILY_HEADER = 4
FAMILIES = {1: "inet", 2: "ip", 7: "bridge", 10: "ip6"}
TABLE, CHAIN, HANDLE, TYPE, VERDICT, ID = 1, 2, 3, 4, 5, 6
NETWORK_HEADER, TRANSPORT_HEADER, POLICY = 8, 9, 16
BY_POLICY, BY_RETURN, BY_RULE = 1, 2, 3
CODE = 1
VERDICTS = {0: "drop", 1: "accept", -1: "continue", -3: "jump", -4: "goto", -5: "return"}
ICMP, ICMP6 = 1, 58
ECHO_REQUESTS = (8, 128)
VXLAN_INNER = 8 + 8 + 14
"""Bytes from the outer UDP header to the inner IP header."""
IPV4_HEADER, IPV6_HEADER = 20, 40
IPV4, IPV6 = 0x0800, 0x86DD


class Tracer:
    """Tells which rules the packets of one probe meet, in the namespace that the calling thread is
    in. ``token`` is the probe's source port or its ICMP id, ``tunnel`` the port of VXLAN tunnels.
    Raises OSError, `nftables.Rejected`."""

    def __init__(self, library: Library, protocol: str, token: int, tunnel: int) -> None:
        self._protocol = protocol
        self._token = token
        self._asked: dict[int, bool] = {}
        self._held = contextlib.ExitStack()
        try:
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            self._socket = self._held.enter_context(
                socket.socket(socket.AF_NETLINK, kind, NETLINK_NETFILTER)
            )
            self._socket.bind((0, 0))
            self._socket.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, GROUP)
            # The table lives as long as this context.
            nft = self._held.enter_context(library.opened())
            nft.load(marking(protocol, token, tunnel))
        except BaseException:
            self._held.close()
            raise

    def fileno(self) -> int:
        """What becomes readable when a rule was met."""
        return self._socket.fileno()

    def read(self) -> Iterator[RuleHit]:
        """What was told since, the tracer's own rules left out; ``namespace`` is for the caller to
        fill in."""
        try:
            data = self._socket.recv(RECEIVE_SIZE)
        except (BlockingIOError, OSError):  # too much to tell: what was lost is lost
            return
        for message, _, _ in messages(data):
            if message.kind == TRACE:
                hit = self._hit(message.body)
                if hit is not None and hit.table != TRACER:
                    yield hit

    def _hit(self, body: bytes) -> RuleHit | None:
        found = attributes(body, FAMILY_HEADER)
        kind = _number(found.get(TYPE))
        if TABLE not in found or kind not in (BY_POLICY, BY_RULE):
            return None
        packet = _number(found.get(ID))
        if TRANSPORT_HEADER in found:
            headers = found.get(NETWORK_HEADER, b""), found[TRANSPORT_HEADER]
            self._asked[packet] = self._is_question(*headers)
        code = found.get(POLICY)
        if kind == BY_RULE:
            code = attributes(found.get(VERDICT, b""), 0).get(CODE)
        return RuleHit(
            family=FAMILIES.get(body[0], "?"),
            table=as_text(found[TABLE]),
            chain=as_text(found.get(CHAIN, b"")),
            handle=_number(found.get(HANDLE)) if kind == BY_RULE else 0,
            verdict=VERDICTS.get(struct.unpack("!i", code)[0], "?") if code else "?",
            asked=self._asked.get(packet, True),
        )

    def _is_question(self, network: bytes, transport: bytes) -> bool:
        """Whether a packet goes the probe's way: it is an echo request, or comes from its port, as
        its own header or (in a tunnel) the one inside tells."""
        protocol = network[9] if network and network[0] >> 4 == 4 else network[6] if network else 0
        if protocol in (ICMP, ICMP6):
            return transport[0] in ECHO_REQUESTS
        if len(transport) < 4:
            return True
        source, target = struct.unpack_from("!HH", transport)
        if self._token in (source, target):
            return bool(source == self._token)
        return True

    def close(self) -> None:
        """Watch no longer: table and socket are gone."""
        self._held.close()


def marking(protocol: str, token: int, tunnel: int) -> str:
    """The table that marks a probe's packets where they come in and where they are made: by
    themselves, inside a tunnel's, and (bridged) as frames."""
    plain = [*_plain(protocol, token)]
    inner = [f"udp dport {tunnel} {each}" for each in _inside(protocol, token)]
    rules = "\n".join(f"{each} meta nftrace set 1" for each in (*plain, *inner))
    chains = "\n".join(
        f"chain {hook} {{ type filter hook {hook} priority -400;\n{rules}\n}}"
        for hook in ("prerouting", "output")
    )
    return f"table inet {TRACER} {{\nflags owner;\n{chains}\n}}\n"


def _plain(protocol: str, token: int) -> Iterator[str]:
    if protocol == "icmp":
        yield f"icmp id {token}"
        yield f"icmpv6 id {token}"
        return
    for end in ("sport", "dport"):
        yield f"meta l4proto {protocol} th {end} {token}"


def _inside(protocol: str, token: int) -> Iterator[str]:
    """The same in VXLAN, by the place that it has there."""
    kind = f"@th,{8 * (VXLAN_INNER - 2)},16"
    for number, header in ((IPV4, IPV4_HEADER), (IPV6, IPV6_HEADER)):
        transport = 8 * (VXLAN_INNER + header)
        for offset in (32,) if protocol == "icmp" else (0, 16):
            yield f"{kind} {number} @th,{transport + offset},16 {token}"


def _number(data: bytes | None) -> int:
    return int.from_bytes(data, "big") if data else 0
