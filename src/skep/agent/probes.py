"""The peer mesh without its socket: what a probe looks like, and what probes say of a peer.

A datagram is a 16-byte tag and a msgpack list: kind, sender, sequence, the sender's monotonic time
in nanoseconds, padding. The tag is a BLAKE2b of the receiver's node id and the list, keyed with the
cluster's mesh key: nobody else can write one, and one recorded on its way to a peer is worth
nothing to another. What is sent twice is dropped by the sequence: each probe has one echo.
"""

from __future__ import annotations

import hmac
from collections import deque
from hashlib import blake2b

import msgspec

TAG_SIZE = 16
PROBE, ECHO = 0, 1
MAX_DATAGRAM = 1400
TIMEOUT_NS = 1_000_000_000
"""A probe whose echo takes longer counts as lost."""
KEPT = 20
"""Probes that a peer's loss is reckoned over."""
_PADDING = 32  # a probe is larger than its echo: it cannot be used to multiply traffic
_WEIGHT = 0.2


class Packet(msgspec.Struct, frozen=True, array_like=True):
    """A datagram's content. ``sent_at`` is the probing side's; the echo repeats it."""

    kind: int
    sender: str
    sequence: int
    sent_at: int
    padding: bytes = b""


class PeerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a peer. ``seen_at`` is Unix seconds (0.0: never); round trips are seconds
    (0.0: none yet): the last, and smoothed. ``loss`` is the share (0.0 to 1.0) of the last
    ``probes`` (up to 20) that came to nothing."""

    address: str
    seen_at: float = 0.0
    rtt: float = 0.0
    rtt_smoothed: float = 0.0
    loss: float = 0.0
    probes: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Packet)


def write(packet: Packet, receiver: str, key: bytes) -> bytes:
    """The datagram for ``receiver`` (a node id). ``key`` is 1 to 64 bytes."""
    body = _encode(packet)
    return _tag(body, receiver, key) + body


def read(datagram: bytes, receiver: str, key: bytes) -> Packet | None:
    """The content of a datagram that reached ``receiver``; None unless it is whole and genuine."""
    tag, body = datagram[:TAG_SIZE], datagram[TAG_SIZE:]
    if len(datagram) > MAX_DATAGRAM or not hmac.compare_digest(tag, _tag(body, receiver, key)):
        return None
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError:
        return None


def probe(sender: str, sequence: int, now: int) -> Packet:
    """A probe at monotonic time ``now`` (nanoseconds)."""
    return Packet(PROBE, sender, sequence, now, bytes(_PADDING))


def echo(sender: str, asked: Packet) -> Packet:
    """The answer to a probe."""
    return Packet(ECHO, sender, asked.sequence, asked.sent_at)


def _tag(body: bytes, receiver: str, key: bytes) -> bytes:
    name = receiver.encode()
    # The length keeps "name + body" from being read at another border.
    return blake2b(bytes([len(name)]) + name + body, key=key, digest_size=TAG_SIZE).digest()


class Peer:
    """The running account of one peer. Instants are the caller's monotonic nanoseconds."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._open: dict[int, int] = {}
        self._answered: deque[bool] = deque(maxlen=KEPT)
        self._seen_at = self._rtt = self._smoothed = 0.0

    def probed(self, sequence: int, now: int) -> None:
        """A probe is sent to it; earlier ones that are too old are lost."""
        self.expire(now)
        self._open[sequence] = now

    def expire(self, now: int) -> None:
        """Give up what has been under way for too long."""
        late = [sequence for sequence, sent in self._open.items() if now - sent > TIMEOUT_NS]
        for sequence in late:
            del self._open[sequence]
            self._answered.append(False)

    def answered(self, sequence: int, now: int, wall: float) -> None:
        """Its echo came, at Unix time ``wall``. Late, repeated or unasked ones do not count."""
        self.expire(now)
        sent = self._open.pop(sequence, None)
        if sent is None:
            return
        self._answered.append(True)
        self._rtt = (now - sent) / 1e9
        weight = _WEIGHT if self._smoothed else 1.0
        self._smoothed += weight * (self._rtt - self._smoothed)
        self._seen_at = wall

    def health(self) -> PeerHealth:
        """The account, closed."""
        lost = self._answered.count(False)
        return PeerHealth(
            address=self._address,
            seen_at=self._seen_at,
            rtt=self._rtt,
            rtt_smoothed=self._smoothed,
            loss=lost / len(self._answered) if self._answered else 0.0,
            probes=len(self._answered),
        )
